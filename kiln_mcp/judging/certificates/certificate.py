"""The certificate: what was sampled, what the labels show, and what would end it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.evals.fingerprints import PART_WORDS, fingerprint_text
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.certificates.audit_labels import LabelledAudit
from kiln_mcp.judging.certificates.audit_status import AuditCircumstances, AuditStatus
from kiln_mcp.labels.signature import Signature
from kiln_mcp.statistics import CannotTell, Estimate, Interval

SCOPE: Final = (
    "It holds for the outputs that were sampled, and for the named raters. It does not correct the "
    "rates of a run config whose outputs nobody labelled."
)
_METHOD: Final = (
    "Weighted sampling without replacement in strata, betting martingale (Waudby-Smith and Ramdas "
    "2024; Shekhar et al. 2023). Valid at every look together."
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Number(_Part):
    """A number with its interval; what cannot be told is null."""

    value: float | None
    low: float | None = None
    high: float | None = None


class SampledStratum(_Part):
    """One stratum of the pool."""

    name: str
    items: int
    labels: int
    agreements: int
    prior: float


class HumanCeiling(_Part):
    """The agreement of two people on the same outputs."""

    raters: tuple[str, ...]
    n: int
    agreement: Number


class Certificate(_Part):
    """A statement about a judge, whatever its state.

    Attributes:
        state: The state of the audit.
        statement: What it means.
        judge_hash: The hash of all parts of the judge.
        pool_hash: The hash of the outputs with their verdicts.
        outputs: How many outputs were in the pool.
        outside_pool: Golden outputs that were not: without a verdict, or labelled before.
        claim: The agreement that is claimed.
        low: The least agreement, at this error.
        high: The highest, at this error.
        error: The probability of a false certificate.
        judges: How many judges share the error, on the same labels.
        skips: Outputs that were drawn and passed over; they count against every claim.
        both_defensible: Labels by which both verdicts can be defended; they count as agreements.
        log_evidence: The logarithm of the capital of the bettor for the claim.
        numbers: What compares judge and labels; 95 % intervals.
        agreement_at_any_stop: 95 %, even if labelling stops once the interval is narrow enough.
        faults: Why the labels can measure no judge.
        ends: What makes it stale.
    """

    v: int = 1
    id: str
    issued_at: datetime
    state: str
    statement: str
    task: str
    eval: str
    score: str
    judge: str
    model: str | None
    judge_hash: str
    judge_parts: Mapping[str, str]
    pool_hash: str
    outputs: int
    outside_pool: int
    raters: tuple[str, ...]
    opened_at: datetime
    first_label_at: datetime | None
    last_label_at: datetime | None
    seed: int
    claim: float | None
    low: float
    high: float
    error: float
    judges: int
    draws: int
    labels: int
    agreements: int
    skips: int
    both_defensible: int
    changed_labels: int
    log_evidence: float | None
    log_counter_evidence: float | None
    strata: tuple[SampledStratum, ...]
    numbers: Mapping[str, Number]
    agreement_at_any_stop: Number | None
    human_ceiling: HumanCeiling | None
    faults: tuple[str, ...]
    scope: str = SCOPE
    ends: str = Field(
        default="It ends when one of these changes: " + ", ".join(PART_WORDS.values()) + ", "
        "or an output or a verdict of the pool."
    )
    method: str = _METHOD


class SignedCertificate(_Part):
    """A certificate with the code that shows who wrote it."""

    certificate: Certificate
    signature: Signature


@dataclass(frozen=True, slots=True)
class CertificateContext:
    """What a certificate says beside its audit.

    Attributes:
        id: The certificate's id.
        judge: The judge.
        golden_items: How many golden items there are.
        ceiling: The agreement of two people; None for one rater.
    """

    id: str
    judge: Measurement
    golden_items: int
    ceiling: HumanCeiling | None


def make_certificate(
    audit: LabelledAudit,
    status: AuditStatus,
    circumstances: AuditCircumstances,
    context: CertificateContext,
) -> Certificate:
    """Return the certificate of an audit in its state."""
    opening, standing, times = audit.opening, status.standing, audit.times
    judge, claim = context.judge, status.claim_standing
    return Certificate(
        id=context.id,
        issued_at=datetime.now(UTC),
        state=status.state,
        statement=status.sentence,
        task=judge.task.name,
        eval=judge.eval_record.name,
        score=audit.score.name,
        judge=judge.evaluator_record.name,
        model=judge.evaluator.model,
        judge_hash=fingerprint_text(opening.fingerprint),
        judge_parts=opening.fingerprint,
        pool_hash=opening.pool,
        outputs=audit.design.total,
        outside_pool=max(0, context.golden_items - audit.design.total),
        raters=tuple(audit.raters),
        opened_at=opening.at,
        first_label_at=times[0] if times else None,
        last_label_at=times[-1] if times else None,
        seed=opening.seed,
        claim=status.claim,
        low=standing.limits.low,
        high=standing.limits.high,
        error=circumstances.error,
        judges=circumstances.judges,
        draws=len(audit.drawn),
        labels=standing.labels,
        agreements=standing.agreements,
        skips=standing.skips,
        both_defensible=audit.both_count,
        changed_labels=len(audit.changed),
        log_evidence=claim.log_evidence if claim else None,
        log_counter_evidence=claim.log_counter_evidence if claim else None,
        strata=_strata(audit),
        numbers=_numbers(status),
        agreement_at_any_stop=number_of(status.agreement) if status.agreement else None,
        human_ceiling=context.ceiling,
        faults=tuple(circumstances.faults),
    )


def number_of(estimate: Estimate) -> Number:
    """Return an estimate as a number, with four digits."""
    value, interval = estimate.value, estimate.interval
    ends = (
        (round(interval.low, 4), round(interval.high, 4))
        if isinstance(interval, Interval)
        else (None, None)
    )
    return Number(
        value=None if isinstance(value, CannotTell) else round(value, 4), low=ends[0], high=ends[1]
    )


def _numbers(status: AuditStatus) -> dict[str, Number]:
    if status.estimates is None:
        return {}
    measures = status.estimates.measures
    return {str(measure): number_of(estimate) for measure, estimate in measures.items()}


def _strata(audit: LabelledAudit) -> tuple[SampledStratum, ...]:
    counts: Sequence[list[int]] = audit.counts()
    return tuple(
        SampledStratum(
            name=stratum.name,
            items=len(stratum.items),
            labels=labels,
            agreements=agreements,
            prior=round(stratum.prior, 4),
        )
        for stratum, labels, agreements in zip(
            audit.opening.strata, counts[1], counts[2], strict=True
        )
    )
