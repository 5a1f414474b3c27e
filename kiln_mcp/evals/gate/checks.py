"""The checks of a gate: each passes, fails, or cannot be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from kiln_mcp.evals.baselines import PinnedRate
from kiln_mcp.evals.comparison import MeanScore, mean_of_items
from kiln_mcp.evals.item_scores import Outputs
from kiln_mcp.evals.rate_correction import CorrectedRate
from kiln_mcp.evals.results.config_comparison import ScaledScores, compare_score
from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    SystemDifference,
    ValueRange,
    newcombe_interval,
)
from kiln_mcp.statistics.claim_levels import ALL_CLAIMS


class CheckOutcome(StrEnum):
    """The outcome of a check, and of the gate."""

    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check.

    Attributes:
        eval: The eval's name.
        name: What is checked, the same in every run.
        outcome: Its outcome.
        says: The numbers, as a sentence.
    """

    eval: str
    name: str
    outcome: CheckOutcome
    says: str


def outcome_of(checks: Sequence[GateCheck]) -> CheckOutcome:
    """Return the outcome of a gate: one failure fails it, and an open check leaves it open."""
    outcomes = {check.outcome for check in checks}
    for outcome in (CheckOutcome.FAIL, CheckOutcome.CANNOT_TELL):
        if outcome in outcomes:
            return outcome
    return CheckOutcome.PASS if checks else CheckOutcome.CANNOT_TELL


@dataclass(frozen=True, slots=True)
class GatedScore:
    """One score of a run config on the items of the test part.

    Attributes:
        eval: The eval's name.
        key: The score's key.
        items: For each item its outputs, for each output its verdicts.
        value_range: The values that the score can have; None if only the scores tell it.
        correction: The rate of failures as labels of these outputs correct it; None if nobody
            drew any of them.
    """

    eval: str
    key: str
    items: Sequence[Outputs]
    value_range: ValueRange | None = None
    correction: CorrectedRate | None = None


def check_threshold(score: GatedScore, threshold: float, error: float = ALL_CLAIMS) -> GateCheck:
    """Check that the lower limit of a mean reaches a threshold; labels correct the mean.

    Args:
        score: The score.
        threshold: What the limit must reach.
        error: The probability that the limits are wrong.
    """
    eval_name, name = score.eval, f"{score.key} is at least {threshold:g}"
    if not score.items:
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, "There is no result yet.")
    mean = mean_of_items(score.items, value_range=score.value_range, level=1 - error)
    mean, note, is_corrected = _mean_by_labels(mean, score.correction)
    if isinstance(mean.interval, CannotTell):
        says = f"{mean.mean:.3f} on {mean.count} items; {mean.interval.reason}.{note}"
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    low, high = mean.interval.low, mean.interval.high
    says = f"{mean.mean:.3f} [{low:.3f}, {high:.3f}] on {mean.count} items.{note}"
    if low >= threshold:
        return GateCheck(eval_name, name, CheckOutcome.PASS, says)
    if high < threshold:
        return GateCheck(eval_name, name, CheckOutcome.FAIL, says)
    forecast = _more_items(mean.count, mean.mean - threshold, mean.mean - low)
    if is_corrected:
        forecast = " More labels of these outputs would narrow it."
    return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, f"{says}{forecast}")


def _mean_by_labels(
    mean: MeanScore, correction: CorrectedRate | None
) -> tuple[MeanScore, str, bool]:
    """Return a pass rate as labels correct it, what to say of it, and whether they do."""
    if correction is None:
        return mean, "", False
    labels, interval = correction.counts.drawn, correction.interval
    if isinstance(interval, CannotTell) or correction.share is None:
        reason = interval.reason if isinstance(interval, CannotTell) else "they are too few"
        return mean, f" {labels} labels do not correct it: {reason}.", False
    limits = Interval(1 - interval.high, 1 - interval.low, interval.level)
    note = f" Corrected by {labels} labels; as judged it is {mean.mean:.3f}."
    return MeanScore(1 - correction.share, limits, mean.count), note, True


def check_loss(
    eval_name: str,
    scores: ScaledScores,
    baseline: str,
    most_loss: float,
    error: float = ALL_CLAIMS,
) -> GateCheck:
    """Check that a score loses no more than some points against the baseline, item by item.

    Args:
        eval_name: The eval.
        scores: The baseline's scores by item, then those of the run config.
        baseline: The baseline's name.
        most_loss: The points of a hundred that may be lost.
        error: The probability that the limits are wrong.
    """
    name = _loss_name(scores.key, most_loss)
    first, second = scores.columns
    if first.keys().isdisjoint(second):
        says = f"It shares no scored item with {baseline!r}."
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    comparison = compare_score(scores, 0, 1 - error, most_loss)
    difference = comparison.against_baseline[1]
    if isinstance(difference.interval, CannotTell):
        says = f"{difference.interval.reason}."
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    numbers = f"on {difference.count} items that both have"
    return _loss_check(
        (eval_name, name), difference.interval, comparison.floor, baseline, numbers, difference
    )


def check_loss_of_rate(
    names: tuple[str, str],
    items: Sequence[float],
    pinned_rate: PinnedRate,
    most_loss: float,
    error: float = ALL_CLAIMS,
) -> GateCheck:
    """Check a pass rate against the pinned one, if the baseline's own results are gone.

    Args:
        names: The eval's and the score's.
        items: The run config's score of each item, 0 or 1.
        pinned_rate: The baseline's rate when it was pinned.
        most_loss: The points of a hundred that may be lost.
        error: The probability that the limits are wrong.
    """
    eval_name, name = names[0], _loss_name(names[1], most_loss)
    if not items or not set(items) <= {0.0, 1.0}:
        says = "The baseline's results are gone, and only pass rates compare without them."
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    first = round(pinned_rate.mean * pinned_rate.n), pinned_rate.n
    interval = newcombe_interval(first, (round(sum(items)), len(items)), 1 - error)
    numbers = f"with the pinned rate of {pinned_rate.n} items, not item by item"
    return _loss_check((eval_name, name), interval, most_loss / 100, "the pinned rate", numbers)


def _loss_name(key: str, most_loss: float) -> str:
    return f"{key} loses at most {most_loss:g} points"


def _loss_check(
    name: tuple[str, str],
    interval: Interval,
    floor: float,
    baseline: str,
    numbers: str,
    difference: SystemDifference | None = None,
) -> GateCheck:
    low, high = interval.low, interval.high
    says = f"Between {low:+.3f} and {high:+.3f} against {baseline}, {numbers}."
    if low >= -floor:
        return GateCheck(*name, CheckOutcome.PASS, says)
    if high < -floor:
        return GateCheck(*name, CheckOutcome.FAIL, says)
    forecast = ""
    if difference is not None:
        distance = difference.difference + floor
        forecast = _more_items(difference.count, distance, difference.difference - low)
    return GateCheck(*name, CheckOutcome.CANNOT_TELL, f"{says}{forecast}")


def check_items(
    eval_name: str, name: str, failures: Mapping[str, str], count: int, missing: int
) -> GateCheck:
    """Check that none of some items fails.

    Args:
        eval_name: The eval.
        name: What is checked.
        failures: By item: what is wrong.
        count: All of the items.
        missing: Those without a result.
    """
    if failures:
        first = "; ".join(f"{item}: {reason}" for item, reason in list(failures.items())[:3])
        says = f"{len(failures)} of {count} items fail. {first}"
        return GateCheck(eval_name, name, CheckOutcome.FAIL, says)
    if missing:
        says = f"{missing} of {count} items have no result yet."
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    return GateCheck(eval_name, name, CheckOutcome.PASS, f"All {count} items pass.")


def _more_items(count: int, distance: float, half_width: float) -> str:
    """Return about how many more items would decide, as a sentence that follows others."""
    if distance <= 0:
        return " As seen it does not hold, but more items may decide."
    items_needed = ceil(count * (half_width / distance) ** 2)
    return f" About {max(1, items_needed - count)} more items would decide, if it is as seen."
