"""Drift: whether the judge or the feature moved since a day, on the same items.

What was judged before that day is judged again: verdicts that change are the judge's drift. New
outputs of the same run config, judged by today's judge, are compared with the old outputs under
today's judge: that is the feature's drift. So a judge that became stricter is not taken for a
feature that became worse.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Final

from kiln_mcp.evals.gate.checks import CheckOutcome, GateCheck
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.statistics import CannotTell, Interval, differences_from, score_columns
from storage import TaskRunConfig
from storage.index.verdict_times import TimedVerdict, timed_verdicts
from storage.records.ratings import RATING_RANGES

_FEWEST: Final = 2
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a mean moved on the same items.

    Attributes:
        old: The mean before.
        new: The mean now.
        interval: 95 % interval of the difference.
        count: Items.
        up: Items whose score is higher now.
        down: Items whose score is lower now.
    """

    old: float
    new: float
    interval: Interval
    count: int
    up: int
    down: int

    @property
    def is_shown(self) -> bool:
        """Return whether the interval leaves out 0."""
        return 0 not in self.interval

    @property
    def says(self) -> str:
        """Return the numbers in a sentence."""
        return (
            f"{self.old:.3f} before, {self.new:.3f} now "
            f"[{self.interval.low:+.3f}, {self.interval.high:+.3f}] on {self.count} items; "
            f"{self.up} higher, {self.down} lower."
        )


@dataclass(frozen=True, slots=True)
class Drift:
    """What moved in one score since a day.

    Attributes:
        key: The score.
        judge: The judge's shift on the same outputs, or why it cannot be told; None for a check,
            which gives an output the same score each time.
        feature: The feature's shift under today's judge, or why it cannot be told.
    """

    key: str
    judge: Shift | CannotTell | None
    feature: Shift | CannotTell


@dataclass(slots=True)
class _Sides:
    """The values of one item, before and now."""

    old: list[float] = field(default_factory=list[float])
    new: list[float] = field(default_factory=list[float])


async def read_drift(
    measurement: Measurement, config: TaskRunConfig, items: Iterable[str], since: datetime
) -> list[Drift]:
    """Return what moved in each score of a run config since a day.

    Args:
        measurement: The eval with its evaluator.
        config: The run config.
        items: The anchor items.
        since: What was scored before is old.
    """
    path, anchors = measurement.evaluator_record.saved.path, frozenset(items)
    since_us = int(since.timestamp() * _MICROSECONDS)
    drifts: list[Drift] = []
    for score in measurement.eval_record.output_scores:
        key = score.json_key
        rows = await measurement.store.ask(
            lambda index, key=key: timed_verdicts(index, path, config.id, key)
        )
        verdicts = [row for row in rows if row.item_id in anchors]
        is_exact = measurement.evaluator.model is None
        ends = RATING_RANGES[score.type]
        drifts.append(drift_of(key, verdicts, since_us, ends, is_exact=is_exact))
    return drifts


def drift_of(
    key: str,
    verdicts: Sequence[TimedVerdict],
    since_us: int,
    ends: tuple[float, float],
    *,
    is_exact: bool,
) -> Drift:
    """Return what moved in a score.

    Args:
        key: The score.
        verdicts: The verdicts of a run config, the oldest first.
        since_us: What was scored before is old, in microseconds since 1970.
        ends: The ends of the score's scale.
        is_exact: Whether the evaluator is a check, which gives an output the same score each time.
    """
    first_us: dict[tuple[str, int], int] = {}
    for row in verdicts:
        first_us.setdefault((row.item_id, row.sample), row.at_us)
    judge: dict[str, _Sides] = {}
    feature: dict[str, _Sides] = {}
    second_verdicts = {(v.item_id, v.sample) for v in verdicts if v.at_us >= since_us}
    for row in verdicts:
        output = row.item_id, row.sample
        is_old_output, is_new_verdict = first_us[output] < since_us, row.at_us >= since_us
        if is_old_output and output in second_verdicts:
            sides = judge.setdefault(row.item_id, _Sides())
            (sides.new if is_new_verdict else sides.old).append(row.value)
        if is_old_output and (is_new_verdict or is_exact):
            feature.setdefault(row.item_id, _Sides()).old.append(row.value)
        if not is_old_output:
            feature.setdefault(row.item_id, _Sides()).new.append(row.value)
    reason = "too few outputs from before were judged again"
    judge_shift = None if is_exact else _shift(judge, ends, reason)
    reason = "too few items have an old output and a new one, both judged by today's judge"
    return Drift(key, judge_shift, _shift(feature, ends, reason))


def _shift(
    items: Mapping[str, _Sides], ends: tuple[float, float], reason: str
) -> Shift | CannotTell:
    pairs = {
        item: (fmean(sides.old), fmean(sides.new))
        for item, sides in items.items()
        if sides.old and sides.new
    }
    if len(pairs) < _FEWEST:
        return CannotTell(reason)
    old = {item: pair[0] for item, pair in pairs.items()}
    new = {item: pair[1] for item, pair in pairs.items()}
    [difference] = differences_from(score_columns([old, new], ends), 0)
    if isinstance(difference.interval, CannotTell):
        return difference.interval
    return Shift(
        old=fmean(old.values()),
        new=fmean(new.values()),
        interval=difference.interval,
        count=len(pairs),
        up=sum(new[item] > old[item] for item in pairs),
        down=sum(new[item] < old[item] for item in pairs),
    )


def drift_checks(
    eval_name: str, drift: Drift, ends: tuple[float, float], points: float
) -> list[GateCheck]:
    """Return the checks of a score's drift: the judge has not moved, the feature is no worse.

    Args:
        eval_name: The eval.
        drift: What moved.
        ends: The ends of the score's scale.
        points: The points of a hundred by which it may move.
    """
    margin = points / 100 * (ends[1] - ends[0])
    checks: list[GateCheck] = []
    if drift.judge is not None:
        name = f"{drift.key}: the judge moved at most {points:g} points"
        checks.append(_check(eval_name, name, drift.judge, margin, is_two_sided=True))
    name = f"{drift.key}: the feature lost at most {points:g} points"
    return [*checks, _check(eval_name, name, drift.feature, margin, is_two_sided=False)]


def _check(
    eval_name: str, name: str, shift: Shift | CannotTell, margin: float, *, is_two_sided: bool
) -> GateCheck:
    if isinstance(shift, CannotTell):
        says = f"Cannot tell: {shift.reason}."
        return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, says)
    low, high = shift.interval.low, shift.interval.high
    is_inside = low >= -margin and (high <= margin or not is_two_sided)
    is_outside = high < -margin or (is_two_sided and low > margin)
    if is_inside or is_outside:
        outcome = CheckOutcome.PASS if is_inside else CheckOutcome.FAIL
        return GateCheck(eval_name, name, outcome, shift.says)
    note = "It moved, and by how much is open." if shift.is_shown else "No move is shown."
    return GateCheck(eval_name, name, CheckOutcome.CANNOT_TELL, f"{shift.says} {note}")
