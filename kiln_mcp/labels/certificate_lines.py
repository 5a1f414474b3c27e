"""What the certificates beside a judge state of its agreement with people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError

from kiln_mcp.labels.signature import is_content_signed_here
from storage import EvalConfig, ProjectStore

CERTIFICATES: Final = "kiln_mcp_certificates.jsonl"
"""Beside an evaluator: its signed certificates."""
_STATE: Final = "certified"
"""The state of a certificate that says how far the judge can be relied on."""


class CertifiedAgreement(BaseModel):
    """How often a judge agrees with people, as a certificate states it.

    Attributes:
        state: The state of the audit.
        score: The name of the score.
        low: The least share of outputs on which they agree.
        high: The highest.
        judge_parts: The hashes of the judge's parts when it was certified.
        issued_at: When it was issued.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    state: str
    score: str
    low: float
    high: float
    judge_parts: Mapping[str, str]
    issued_at: AwareDatetime


class _Code(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)

    code: str = ""


class _Line(BaseModel):
    """A line as it is read: the signature is that of the very JSON of the certificate."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    certificate: Mapping[str, JsonValue]
    signature: _Code


@dataclass(frozen=True, slots=True)
class JudgeCertificates:
    """What the certificates beside a judge are worth to a home.

    Attributes:
        agreements: What those state that certify the judge and that this home signed.
        is_any_unsigned: Whether there is one that says so and that this home did not sign.
    """

    agreements: tuple[CertifiedAgreement, ...]
    is_any_unsigned: bool


async def read_certificates(
    store: ProjectStore, evaluator: EvalConfig, home: Path
) -> JudgeCertificates:
    """Return what the newest certificate of each score states, where it certifies the judge.

    One that this home did not sign may be forged, so it certifies nothing. Whether the judge has
    changed since is for the caller to see.

    Args:
        store: The open project.
        evaluator: The judge.
        home: Whose key signs.
    """
    lines = await store.side_lines(evaluator, CERTIFICATES)
    return await anyio.to_thread.run_sync(_certificates_in, lines, home)


def _certificates_in(lines: Sequence[str], home: Path) -> JudgeCertificates:
    newest: dict[str, tuple[CertifiedAgreement, bool]] = {}
    for text in lines:
        try:
            line = _Line.model_validate_json(text.encode("utf-8", "surrogateescape"))
            agreement = CertifiedAgreement.model_validate(line.certificate)
        except ValidationError:
            continue
        earlier = newest.get(agreement.score)
        if earlier is None or earlier[0].issued_at <= agreement.issued_at:
            content = dict(line.certificate)
            is_signed = is_content_signed_here(content, line.signature.code, home)
            newest[agreement.score] = (agreement, is_signed)
    certifying = [entry for entry in newest.values() if entry[0].state == _STATE]
    return JudgeCertificates(
        tuple(agreement for agreement, is_signed in certifying if is_signed),
        any(not is_signed for _, is_signed in certifying),
    )


async def is_certified(store: ProjectStore, evaluator: EvalConfig, home: Path) -> bool:
    """Return whether a certificate of this home certifies a judge for a score, stale or not."""
    return bool((await read_certificates(store, evaluator, home)).agreements)
