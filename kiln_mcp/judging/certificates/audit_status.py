"""The state of an audit: certified, not reachable, or about how many labels are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kiln_mcp.judging.certificates.audit_labels import LabelledAudit
from kiln_mcp.statistics import (
    AuditStanding,
    CannotTell,
    ClaimStanding,
    Estimate,
    JudgeEstimates,
    LabelForecast,
    agreement_strata,
    audit_standing,
    forecast_labels,
    judge_estimates,
    share_estimate,
)
from kiln_mcp.statistics.betting_audit import ERROR
from kiln_mcp.statistics.stratified_posterior import STOPPING_LEVEL

MOST_CHANCE: Final = 0.005
"""The probability that a certified judge tells no verdict from another, at most."""


class CertificateState(StrEnum):
    """What an audit says about its claim."""

    CERTIFIED = "certified"
    NOT_REACHABLE = "not_reachable"
    LABELS_CONTRADICT = "labels_contradict"
    NO_INFORMATION = "no_information"
    NOT_YET = "not_yet"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class AuditCircumstances:
    """What decides on an audit beside its labels.

    Attributes:
        judge: The judge's name.
        target: The agreement to be certified; None for as much as the labels show.
        judges: How many judges are audited on the same labels.
        changed: What has changed since the audit opened, in words.
        faults: Why the labels can measure no judge, as sentences.
        seed: Of the estimates and the forecast.
    """

    judge: str
    target: float | None = None
    judges: int = 1
    changed: Sequence[str] = ()
    faults: Sequence[str] = ()
    seed: int = 0

    @property
    def error(self) -> float:
        """Return the probability of a false certificate, shared by the judges."""
        return ERROR / self.judges


@dataclass(frozen=True, slots=True)
class AuditStatus:
    """The state of an audit.

    Attributes:
        state: The state.
        sentence: What it means.
        claim: The agreement that is claimed; None if there is nothing to claim yet.
        standing: What the draws say.
        claim_standing: What they say about the claim; None without a claim.
        estimates: Every number that compares judge and labels; None without labels.
        agreement: The agreement, with an interval at which one may stop; None without labels.
        forecast: How many more labels the claim takes, or why that cannot be told.
    """

    state: CertificateState
    sentence: str
    claim: float | None
    standing: AuditStanding
    claim_standing: ClaimStanding | None
    estimates: JudgeEstimates | None
    agreement: Estimate | None
    forecast: LabelForecast | CannotTell


def audit_status(audit: LabelledAudit, circumstances: AuditCircumstances) -> AuditStatus:
    """Replay an audit and return its state."""
    error, target = circumstances.error, circumstances.target
    if target is None:
        target = audit.opening.target
    standing = _standing(audit, target, error)
    claim = target if target is not None else (standing.limits.low or None)
    if claim is not None and not standing.claims:
        standing = _standing(audit, claim, error)
    claim_standing = standing.claims[0] if standing.claims else None
    estimates = worst_estimates(audit, circumstances.seed) if audit.labelled_items else None
    forecast: LabelForecast | CannotTell = CannotTell("nothing is missing")
    if claim is not None and claim_standing is not None and not claim_standing.is_decided:
        forecast = forecast_labels(audit.design, audit.results(), claim, error, circumstances.seed)
    view = _View(audit, circumstances, claim, standing, claim_standing, estimates, forecast)
    state = view.state()
    return AuditStatus(
        state=state,
        sentence=view.sentence(state),
        claim=claim,
        standing=standing,
        claim_standing=claim_standing,
        estimates=estimates,
        agreement=_agreement(audit, circumstances.seed) if audit.labelled_items else None,
        forecast=forecast,
    )


def _standing(audit: LabelledAudit, claim: float | None, error: float) -> AuditStanding:
    """Return what the draws say; labels that were changed hold a certificate up.

    The first label counts in the limits. A claim is certified only if it would also be with
    changed labels against it.
    """
    claims = [] if claim is None else [claim]
    standing = audit_standing(audit.design, audit.results(), claims, error)
    if not audit.changed:
        return standing
    careful = audit_standing(audit.design, audit.results(without_changed=True), claims, error)
    return AuditStanding(
        labels=standing.labels,
        agreements=standing.agreements,
        skips=standing.skips,
        steps=careful.steps,
        claims=careful.claims,
    )


def worst_estimates(audit: LabelledAudit, seed: int) -> JudgeEstimates:
    """Return every number; items without a label count as either, whichever is worse.

    A value counts them as disagreements, and an interval spans both.
    """
    against = judge_estimates(
        audit.pair_strata("against"), audit.scale, seed=seed, table=audit.table("against")
    )
    if not audit.skipped:
        return against
    in_favour = judge_estimates(audit.pair_strata("for"), audit.scale, seed=seed)
    return against.spanning(in_favour)


def _agreement(audit: LabelledAudit, seed: int) -> Estimate:
    """Return the agreement with an interval at which one may stop; skips count as disagreements."""
    against, in_favour = [
        share_estimate(
            agreement_strata(
                audit.design.sizes, *_counts_with_skips(audit, is_for), audit.design.priors
            ),
            STOPPING_LEVEL,
            seed,
        )
        for is_for in (False, True)
    ]
    return against.spanning(in_favour)


def _counts_with_skips(audit: LabelledAudit, is_for: bool) -> tuple[list[int], list[int]]:
    labels, agreements = [0] * len(audit.design.sizes), [0] * len(audit.design.sizes)
    for item in audit.decided_items:
        agrees = item.agrees(audit.scale)
        labels[item.draw.stratum] += 1
        agreements[item.draw.stratum] += is_for if agrees is None else agrees
    return labels, agreements


@dataclass(frozen=True, slots=True)
class _View:
    """All that the state and its sentence are made of."""

    audit: LabelledAudit
    circumstances: AuditCircumstances
    claim: float | None
    standing: AuditStanding
    claim_standing: ClaimStanding | None
    estimates: JudgeEstimates | None
    forecast: LabelForecast | CannotTell

    def state(self) -> CertificateState:
        if self.circumstances.changed:
            return CertificateState.STALE
        if self.circumstances.faults:
            return CertificateState.LABELS_CONTRADICT
        if self.claim_standing is None:
            return CertificateState.NOT_YET
        if self.claim_standing.certified_after is not None:
            has_information = self.estimates and self.estimates.chance_probability < MOST_CHANCE
            return (
                CertificateState.CERTIFIED if has_information else CertificateState.NO_INFORMATION
            )
        if self.claim_standing.refuted_after is not None:
            return CertificateState.NOT_REACHABLE
        return CertificateState.NOT_YET

    def sentence(self, state: CertificateState) -> str:
        texts: Mapping[CertificateState, str] = {
            CertificateState.CERTIFIED: self._certified_text,
            CertificateState.NOT_REACHABLE: self._not_reachable,
            CertificateState.LABELS_CONTRADICT: self._labels_contradict,
            CertificateState.NO_INFORMATION: self._no_information,
            CertificateState.NOT_YET: self._not_yet,
            CertificateState.STALE: self._stale,
        }
        notes = self._notes if state is not CertificateState.STALE else ""
        return f"{texts[state]}{notes}"

    @property
    def _judge(self) -> str:
        return f"'{self.circumstances.judge}'"

    @property
    def _person(self) -> str:
        return " and ".join(self.audit.raters) or self.audit.opening.rater or "people"

    @property
    def _pool(self) -> str:
        return f"these {self.audit.design.total} outputs"

    @property
    def _certified_text(self) -> str:
        return (
            f"Certified: {self._judge} agrees with {self._person} on at least "
            f"{percent(self.claim)} of {self._pool}, shown by {self.standing.labels} labels. "
            f"Of such statements at most {percent(self.circumstances.error)} are wrong, however "
            "often one looks."
        )

    @property
    def _not_reachable(self) -> str:
        return (
            f"Not reachable: {self._judge} agrees with {self._person} on at most "
            f"{percent(self.standing.limits.high)} of {self._pool}, so {percent(self.claim)} "
            "cannot be certified. Improve the judge: more labels do not help."
        )

    @property
    def _labels_contradict(self) -> str:
        return (
            f"These labels can certify no judge. {' '.join(self.circumstances.faults)} "
            "Look again at the labels in doubt first."
        )

    @property
    def _no_information(self) -> str:
        return (
            f"No information: {self._judge} agrees on at least {percent(self.claim)} of "
            f"{self._pool} because one verdict is common. The labels do not show that it tells "
            "good from bad. Add outputs that should get the other verdict."
        )

    @property
    def _stale(self) -> str:
        return (
            f"Stale: {' and '.join(self.circumstances.changed)} changed after the audit opened. "
            "Draw new items to audit the judge as it is now; earlier labels are for development."
        )

    @property
    def _not_yet(self) -> str:
        if not self.standing.labels:
            return f"Not yet: no drawn item has a label. Draw items of {self._pool} and label them."
        limits = self.standing.limits
        return (
            f"Not yet: after {self.standing.labels} labels {self._judge} agrees with "
            f"{self._person} on {percent(limits.low)} to {percent(limits.high)} of {self._pool}"
            f"{self._missing}."
        )

    @property
    def _missing(self) -> str:
        if self.claim is None:
            return ""
        goal = f"; {percent(self.claim)}"
        forecast = self.forecast
        if isinstance(forecast, CannotTell):
            return f"{goal} takes more labels, how many can be told from 30 on"
        if forecast.may_never_end:
            return f"{goal} may never be reached"
        return f"{goal} takes about {forecast.smallest} to {forecast.largest} more labels"

    @property
    def _notes(self) -> str:
        notes: list[str] = []
        waiting = len(self.audit.overdue)
        if waiting:
            notes.append(
                f" {waiting} drawn items before the last label wait for theirs: until then they "
                "count against every claim."
            )
        split = len(self.audit.split)
        if split:
            notes.append(
                f" {split} drawn items have labels of raters who differ, and no majority: they "
                "count against every claim."
            )
        passed_over = len(self.audit.skipped) - waiting - split
        if passed_over:
            notes.append(
                f" {passed_over} drawn items were passed over or cannot be judged: they count "
                "against every claim."
            )
        if self.audit.changed:
            notes.append(
                f" {len(self.audit.changed)} labels were changed after they had counted: the audit "
                "is open again, and holds only what is true either way."
            )
        if self.audit.of_others:
            notes.append(
                f" {self.audit.of_others} labels of other raters do not count: the audit is about "
                f"{self.audit.opening.rater}."
            )
        if self.audit.both_count:
            share = self.audit.both_count / len(self.audit.labelled_items)
            notes.append(f" For {share:.0%} of the labels both verdicts can be defended.")
        return "".join(notes)


def percent(share: float | None) -> str:
    """Return a share in percent, with a decimal where it has one."""
    return f"{100 * (share or 0.0):.1f}".removesuffix(".0") + " %"
