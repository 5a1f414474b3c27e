"""What may be said of the best version, on the labels that it was chosen by."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.judging.refinement.search import JudgeSearchResult, TriedVersion
from kiln_mcp.statistics import Interval
from kiln_mcp.statistics.best_of_many import BestOfMany, best_of_many, simultaneous_gains


@dataclass(frozen=True, slots=True)
class JudgeClaim:
    """What a search may claim.

    Attributes:
        start: The judge as it was.
        best: The best version, which may be the start.
        estimate: The best one's agreement with the bias of the choice taken off.
        gain: The 95 % interval of its gain, which holds for all tried versions together; None if
            nothing was better than the start.
    """

    start: TriedVersion
    best: TriedVersion
    estimate: BestOfMany
    gain: Interval | None

    @property
    def is_gain_shown(self) -> bool:
        """Whether the interval of the gain is above 0."""
        return self.gain is not None and self.gain.low > 0


def claim_of(result: JudgeSearchResult, seed: int) -> JudgeClaim:
    """Return what a search may claim."""
    columns = [entry.agreements for entry in result.tried]
    best = result.tried[result.best]
    gain = None
    if result.best:
        gain = simultaneous_gains(columns, seed)[result.best - 1]
    return JudgeClaim(result.tried[0], best, best_of_many(columns, seed), gain)


def claim_sentence(claim: JudgeClaim, start: str, winner: str | None) -> str:
    """Return what a search shows, in words; "no gain" where its interval includes 0."""
    count = len(claim.best.agreements)
    if winner is None or claim.gain is None:
        return f"No version differs less from the {count} development labels than {start!r}."
    difference = claim.best.agreement - claim.start.agreement
    numbers = (
        f"{winner!r} agrees on {claim.best.agreement:.0%} of {count} development labels, "
        f"{start!r} on {claim.start.agreement:.0%}"
    )
    span = f"{claim.gain.low * 100:+.0f} to {claim.gain.high * 100:+.0f} points"
    if claim.is_gain_shown:
        return (
            f"{numbers}: a gain of {difference * 100:.0f} points (95 % interval over all tried "
            f"versions: {span})."
        )
    return (
        f"{numbers}. No gain is shown: its 95 % interval over all tried versions, {span}, "
        "includes 0."
    )


def limits_of_claim(claim: JudgeClaim, tried: int) -> list[str]:
    """Return what the numbers of a search cannot tell."""
    estimate = claim.estimate
    return [
        "Development numbers are optimistic: the judge was written from these labels and chosen by "
        f"them. Corrected for the choice among {tried + 1}, the best agrees on about "
        f"{estimate.corrected:.0%}, and on at least {estimate.low:.0%}.",
        "They cannot tell how far it agrees on outputs that it was not written from. Only fresh "
        "certificate labels can.",
    ]


def describe_labels(agreements: Sequence[float]) -> str:
    """Return how many labels a judge agrees with, in words."""
    right = sum(value == 1 for value in agreements)
    return f"{right} of {len(agreements)}"
