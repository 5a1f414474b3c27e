"""What the certificates beside a judge state of its agreement with people."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

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
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    state: str
    score: str
    low: float
    high: float
    judge_parts: Mapping[str, str]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)

    certificate: CertifiedAgreement


async def certified_agreements(
    store: ProjectStore, evaluator: EvalConfig
) -> list[CertifiedAgreement]:
    """Return what the newest certificate of each score states, where it certifies the judge.

    Signatures are not looked at, and whether the judge has changed since is for the caller to see.
    """
    newest: dict[str, CertifiedAgreement] = {}
    for line in await store.side_lines(evaluator, CERTIFICATES):
        try:
            read = _Line.model_validate_json(line.encode("utf-8", "surrogateescape"))
        except ValidationError:
            continue
        newest[read.certificate.score] = read.certificate
    return [statement for statement in newest.values() if statement.state == _STATE]


async def is_certified(store: ProjectStore, evaluator: EvalConfig) -> bool:
    """Return whether a certificate beside a judge certifies it for a score, stale or not."""
    return bool(await certified_agreements(store, evaluator))
