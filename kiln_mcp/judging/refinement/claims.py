"""What may be said of the best version, on the labels that it was chosen by."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.judging.refinement.search import JudgeSearchResult, TriedVersion
from kiln_mcp.statistics import (
    BestMean,
    Interval,
    SystemDifference,
    best_mean,
    detection_share,
    differences_from,
    score_columns,
)

USUAL_GAIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class JudgeClaim:
    """What a search may claim.

    Attributes:
        start: The judge as it was.
        best: The best version, which may be the start.
        estimate: The best one's agreement with the bias of the choice taken off.
        gain: The best one's agreement less the start's, as one of all tried versions; None if
            nothing was better than the start.
    """

    start: TriedVersion
    best: TriedVersion
    estimate: BestMean
    gain: SystemDifference | None

    @property
    def interval(self) -> Interval | None:
        """Return the interval of the gain; None if there is none."""
        interval = self.gain.interval if self.gain else None
        return interval if isinstance(interval, Interval) else None

    @property
    def is_gain_shown(self) -> bool:
        """Whether interval and test agree that the best version gains."""
        return self.gain is not None and self.gain.is_shown and self.gain.difference > 0


def claim_of(result: JudgeSearchResult, seed: int) -> JudgeClaim:
    """Return what a search may claim.

    Args:
        result: The search.
        seed: Of the resamples.
    """
    columns = [
        {str(number): value for number, value in enumerate(entry.agreements)}
        for entry in result.versions
    ]
    table = score_columns(columns, (0.0, 1.0))
    gain = None
    if result.best:
        gain = next(d for d in differences_from(table, 0, seed=seed) if d.second == result.best)
    best = result.versions[result.best]
    return JudgeClaim(result.versions[0], best, best_mean(table, seed=seed), gain)


def claim_sentence(claim: JudgeClaim, start: str, winner: str | None) -> str:
    """Return what a search shows, in words: "no gain" if it does not show one."""
    count = len(claim.best.agreements)
    if winner is None or claim.gain is None:
        return f"No version differs less from the {count} development labels than {start!r}."
    numbers = (
        f"{winner!r} agrees on {claim.best.agreement:.0%} of {count} development labels, "
        f"{start!r} on {claim.start.agreement:.0%}"
    )
    if claim.interval is None:
        return f"{numbers}. No gain is shown: there are too few labels."
    span = f"{claim.interval.low * 100:+.0f} to {claim.interval.high * 100:+.0f} points"
    if claim.is_gain_shown:
        return f"{numbers}: a gain of {span} (95 % interval over all tried versions)."
    p_value = claim.gain.p_value
    test = f" and the exact test has p = {p_value:.2f}" if isinstance(p_value, float) else ""
    return (
        f"{numbers}. No gain is shown: the 95 % interval over all tried versions is {span}{test}."
    )


def limits_of_claim(claim: JudgeClaim, versions: int) -> list[str]:
    """Return what the numbers of a search cannot tell.

    Args:
        claim: What it claims.
        versions: How many versions it tried, the start left out.
    """
    estimate = claim.estimate
    return [
        "Development numbers are optimistic: the judge was written from these labels. Corrected "
        f"for the choice among {versions + 1} versions, the best agrees on about "
        f"{estimate.corrected_mean:.0%}, and on {estimate.low:.0%} at least.",
        "They cannot tell how far it agrees on outputs that it was not written from: only fresh "
        "labels for the certificate can.",
    ]


def power_sentence(labels: int) -> str:
    """Return how often so many labels show a gain of 10 points, in words."""
    shares = {count: detection_share(count, USUAL_GAIN) for count in (labels, 60, 120)}
    return (
        f"{labels} labels show a gain of 10 points in about {shares[labels]:.0%} of cases, 60 in "
        f"{shares[60]:.0%}, 120 in {shares[120]:.0%}."
    )
