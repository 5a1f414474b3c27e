"""Verify a certificate: its signature, and whether a project's draws and labels give it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import anyio.to_thread
from pydantic import ValidationError

from kiln_mcp.evals.fingerprints import changed_parts, judge_fingerprint
from kiln_mcp.evals.lookups import all_evals
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.certificates.audit_labels import match_labels
from kiln_mcp.judging.certificates.audit_start import audits_of
from kiln_mcp.judging.certificates.audit_status import AuditCircumstances, audit_status
from kiln_mcp.judging.certificates.certificate import Certificate, SignedCertificate
from kiln_mcp.labels.audit_lines import AuditRecord
from kiln_mcp.labels.ledger import read_labels
from kiln_mcp.labels.signature import is_signed_here, key_name
from storage import EvalConfig, EvalOutputScore, ProjectStore
from storage.errors import Refusal

_LARGEST: Final = 4_000_000
"""The bytes of the largest file that is read as a certificate."""
_ALIKE: Final = 1e-6
"""How far a limit may lie from the same one, computed again."""


class SignatureState(StrEnum):
    """What the signature of a certificate shows."""

    VALID = "valid"
    ALTERED = "altered"
    OTHER_HOME = "other_home"
    """Another home's key made it, or would have; only a replay can tell."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A certificate beside what a project's draws and labels say.

    Attributes:
        differences: What differs, in words; empty if all is the same.
        changed: What has changed in the judge since, in words.
    """

    differences: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """An audit of a project with its judge and score."""

    judge: Measurement
    record: AuditRecord
    score: EvalOutputScore


def read_certificate(file: Path) -> SignedCertificate:
    """Read a signed certificate.

    Raises:
        Refusal: The file cannot be read, is none, or holds something that was never signed.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(_LARGEST + 1)
    except OSError as error:
        raise _unusable(file, f"it cannot be read: {error.strerror or error}") from error
    if len(text) > _LARGEST:
        raise _unusable(file, "it is too long")
    try:
        document = SignedCertificate.model_validate_json(text)
    except ValidationError as error:
        raise _unusable(file, "it has not the fields of one") from error
    content = cast("Mapping[str, Any]", json.loads(text))
    if content["certificate"] != document.certificate.model_dump(mode="json"):
        raise _unusable(file, "it holds fields or spellings that were never signed")
    return document


def _unusable(file: Path, reason: str) -> Refusal:
    return Refusal(
        "{file} is no signed certificate of this workbench: {reason}. Give the .json file that "
        "kiln-mcp check-judge --show certificate names as `document`.",
        file=str(file),
        reason=reason,
    )


def signature_state(document: SignedCertificate, home: Path) -> SignatureState:
    """Return what the signature of a certificate shows to a home."""
    if document.signature.key != key_name(home):
        return SignatureState.OTHER_HOME
    is_valid = is_signed_here(document.certificate, document.signature, home)
    return SignatureState.VALID if is_valid else SignatureState.ALTERED


async def replay(store: ProjectStore, certificate: Certificate) -> Replay:
    """Compute a certificate again, from the draws and labels that were there when it was issued."""
    place = await _find_audit(store, certificate)
    if place is None:
        return Replay(("the project has no audit with this pool, opened at this moment",))
    fingerprint = await judge_fingerprint(place.judge)
    changed = tuple(changed_parts(certificate.judge_parts, fingerprint))
    closing = place.record.closing
    if closing is not None:
        changed = (*changed, closing)
    return Replay(await _differences(place, certificate), changed)


async def _find_audit(store: ProjectStore, certificate: Certificate) -> _Place | None:
    for task_eval in await all_evals(store):
        for evaluator in await store.children(task_eval.eval_record, EvalConfig):
            judge = Measurement(store, task_eval.task, task_eval.eval_record, evaluator)
            for record in await audits_of(judge):
                opening = record.opening
                if opening.pool == certificate.pool_hash and opening.at == certificate.opened_at:
                    score = _score_of(judge, certificate)
                    return None if score is None else _Place(judge, record, score)
    return None


def _score_of(judge: Measurement, certificate: Certificate) -> EvalOutputScore | None:
    scores = judge.eval_record.output_scores
    return next((score for score in scores if score.name == certificate.score), None)


async def _differences(place: _Place, certificate: Certificate) -> tuple[str, ...]:
    judge, record, score = place.judge, place.record, place.score
    until = certificate.issued_at
    labels = (await read_labels(judge.store, judge.eval_record)).entries
    earlier = AuditRecord(record.opening, tuple(d for d in record.draws if d.at <= until))
    verdicts = await judge.stored_scores(score.json_key)
    audit = match_labels(earlier, score, verdicts, [label for label in labels if label.at <= until])
    circumstances = AuditCircumstances(
        judge=certificate.judge,
        target=certificate.claim,
        judges=certificate.judges,
        faults=certificate.faults,
    )
    status = await anyio.to_thread.run_sync(audit_status, audit, circumstances)
    standing = status.standing
    pairs: list[tuple[str, object, object]] = [
        ("the judge's hashes", certificate.judge_parts, record.opening.fingerprint),
        ("the seed", certificate.seed, record.opening.seed),
        ("the size of the pool", certificate.outputs, audit.design.total),
        ("the draws", certificate.draws, len(audit.drawn)),
        ("the labels", certificate.labels, standing.labels),
        ("the agreements", certificate.agreements, standing.agreements),
        ("the outputs passed over", certificate.skips, standing.skips),
    ]
    words = [f"{name}: {old} and now {new}" for name, old, new in pairs if old != new]
    limits = [("the lower limit", certificate.low, standing.limits.low)]
    limits.append(("the upper limit", certificate.high, standing.limits.high))
    words += [f"{n}: {old:g} and now {new:g}" for n, old, new in limits if abs(old - new) > _ALIKE]
    if certificate.state not in {status.state.value, "stale"}:
        words.append(f"the state: {certificate.state} and now {status.state.value}")
    return tuple(words)
