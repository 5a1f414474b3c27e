"""Audits by betting: how far a judge agrees with people, with a look after every label.

A pool has `N` items in strata. Item `i` agrees (1) or not (0), and `m` is the mean. A draw takes a
stratum with known probabilities, then an item of it evenly, without replacement. For each claim
"m is at least T" a bettor with capital 1 bets on the labels. If the claim's contrary is true, the
capital reaches 20 with probability 5 % at most, however often one looks.

Source:
    Waudby-Smith and Ramdas (2024), Estimating Means of Bounded Random Variables by Betting;
    Shekhar, Xu, Lipton, Liang and Ramdas (2023), Risk-Limiting Financial Audits via Weighted
    Sampling without Replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.audit_design import AuditDesign, AuditResult

if TYPE_CHECKING:
    from kiln_mcp.statistics.audit_paths import AuditPaths

ERROR: Final = 0.05
"""The probability of a false certificate."""
CLAIMS: Final = tuple(number / 100 for number in range(1, 101))
"""The claims by which limits are told."""
ROUNDING: Final = 1e-9
"""How far a sum of shares may miss a whole number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The ends between which the mean lies, at the audit's level."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClaimStanding:
    """What the draws say about one claim.

    Attributes:
        claim: The least mean that is claimed.
        log_evidence: The logarithm of the capital of the bettor for it.
        log_counter_evidence: The logarithm of the capital of the bettor against it.
        certified_after: The draws after which it was certified; None if it is not.
        refuted_after: The draws after which it could no longer be reached; None if it can.
    """

    claim: float
    log_evidence: float
    log_counter_evidence: float
    certified_after: int | None
    refuted_after: int | None

    @property
    def is_decided(self) -> bool:
        """Return whether it is certified or can no longer be reached."""
        return self.certified_after is not None or self.refuted_after is not None


@dataclass(frozen=True, slots=True)
class AuditStanding:
    """The state of an audit.

    Attributes:
        labels: Labels that count.
        agreements: Those of them that agree.
        skips: Items drawn and not labelled.
        steps: The limits after each draw. An end never moves back.
        claims: The claims that were asked about, in their order.
    """

    labels: int
    agreements: int
    skips: int
    steps: tuple[Limits, ...]
    claims: tuple[ClaimStanding, ...]

    @property
    def limits(self) -> Limits:
        """Return the limits now."""
        return self.steps[-1] if self.steps else Limits(0.0, 1.0)


def draw_probabilities(
    design: AuditDesign,
    left: Sequence[int],
    labels: Sequence[int],
    agreements: Sequence[int],
) -> tuple[float, ...]:
    """Return the probability of each stratum for the next draw.

    Strata whose labels vary more are drawn more often. Every item that is left has at least 0.3 of
    an even chance.

    Args:
        design: The design.
        left: Items not drawn, by stratum.
        labels: Labels so far, by stratum.
        agreements: Those of them that agree.

    Raises:
        ValueError: No item is left.
    """
    from kiln_mcp.statistics.audit_paths import AuditPaths

    if not any(left):
        raise ValueError("Every item of the pool has been drawn.")
    paths = AuditPaths(design.sizes, design.priors, ())
    paths.left[0], paths.labels[0], paths.agreements[0] = left, labels, agreements
    return tuple(map(float, paths.probabilities()[0]))


def audit_standing(
    design: AuditDesign,
    results: Sequence[AuditResult],
    claims: Sequence[float] = (),
    error: float = ERROR,
) -> AuditStanding:
    """Return what the results of draws, in their order, say about the mean and about claims.

    A skipped item counts as a disagreement for each claim, and as an agreement against it.

    Args:
        design: The design.
        results: One for each draw; draws that still wait for their label are left out.
        claims: Claims to be told of, beside those by which limits are told.
        error: The probability of a false certificate, over all looks together.

    Raises:
        ValueError: A result does not fit the design.
    """
    from kiln_mcp.statistics.audit_paths import AuditPaths

    paths = AuditPaths(design.sizes, design.priors, (*CLAIMS, *claims))
    threshold = log(1 / error)
    trackers = [_Tracker(claim, len(CLAIMS) + place) for place, claim in enumerate(claims)]
    steps: list[Limits] = []
    for result in results:
        paths.observe_result(result)
        steps.append(_limits(paths, design.total, threshold, steps[-1] if steps else None))
        for tracker in trackers:
            tracker.look(paths, len(steps), threshold)
    labels = [result.agrees for result in results if result.agrees is not None]
    return AuditStanding(
        labels=len(labels),
        agreements=sum(labels),
        skips=len(results) - len(labels),
        steps=tuple(steps),
        claims=tuple(tracker.standing(paths) for tracker in trackers),
    )


def _sure_ends(paths: "AuditPaths", total: float) -> Limits:
    """Return the ends that hold with certainty: labels of a finite pool decide in the end."""
    low, high = paths.agreement_bounds[:, 0]
    return Limits(float(low) / total, float(high + paths.left[0].sum()) / total)


def _limits(paths: "AuditPaths", total: int, threshold: float, last: Limits | None) -> Limits:
    """Return the limits after a draw, never wider than the last ones."""
    sure = _sure_ends(paths, total)
    is_certified, is_refuted = (paths.most_evidence[:, 0, : len(CLAIMS)] >= threshold).tolist()
    low = max(
        (claim for claim, is_over in zip(CLAIMS, is_certified, strict=True) if is_over), default=0.0
    )
    high = min(
        (claim for claim, is_over in zip(CLAIMS, is_refuted, strict=True) if is_over), default=1.0
    )
    lasting = last or Limits(0.0, 1.0)
    return Limits(max(low, sure.low, lasting.low), min(high, sure.high, lasting.high))


class _Tracker:
    """When one claim was decided."""

    def __init__(self, claim: float, place: int) -> None:
        self._claim = claim
        self._place = place
        self._certified_after: int | None = None
        self._refuted_after: int | None = None

    def look(self, paths: "AuditPaths", draws: int, threshold: float) -> None:
        up, down = paths.log_evidence[:, 0, self._place].tolist()
        sure = _sure_ends(paths, paths.total)
        is_certain = sure.low >= self._claim - ROUNDING
        is_impossible = sure.high < self._claim - ROUNDING
        if self._certified_after is None and (up >= threshold or is_certain):
            self._certified_after = draws
        if self._refuted_after is None and (down >= threshold or is_impossible):
            self._refuted_after = draws

    def standing(self, paths: "AuditPaths") -> ClaimStanding:
        up, down = paths.log_evidence[:, 0, self._place].tolist()
        return ClaimStanding(self._claim, up, down, self._certified_after, self._refuted_after)
