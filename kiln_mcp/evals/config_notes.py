"""What to know of run configs' rates: as labels correct them, and what moved since the pin."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.baselines import read_baseline
from kiln_mcp.evals.gate.drift import Drift, Shift, read_drift
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.output_labels import correct_config_rate
from kiln_mcp.evals.rate_correction import CorrectedRate
from kiln_mcp.statistics import CannotTell
from kiln_mcp.statistics.claim_levels import ALL_CLAIMS
from storage import TaskRunConfig

_MOST_CONFIGS: Final = 5
"""Run configs that notes are made of."""


async def config_notes(
    measurement: Measurement, configs: Sequence[TaskRunConfig], items: Sequence[str]
) -> list[str]:
    """Return what labels of their outputs say of run configs' rates, and their drift.

    Drift is since the day of the pinned baseline; without one there is none.
    """
    notes: list[str] = []
    of_part = frozenset(items)
    for config in configs[:_MOST_CONFIGS]:
        for score in measurement.eval_record.output_scores:
            correction = await correct_config_rate(measurement, config, score, of_part, ALL_CLAIMS)
            if correction is not None:
                notes.append(_correction_note((config.name, score.json_key), correction))
    baseline = await read_baseline(measurement.store, measurement.eval_record)
    if baseline is not None:
        day = f"{baseline.at:%Y-%m-%d}"
        for config in configs[:_MOST_CONFIGS]:
            for drift in await read_drift(measurement, config, items, baseline.at):
                notes += _drift_notes((config.name, drift.key), drift, day)
    return notes


def _correction_note(names: tuple[str, str], correction: CorrectedRate) -> str:
    labels, interval = correction.counts.drawn, correction.interval
    begin = f"{names[0]}, {names[1]}: "
    if isinstance(interval, CannotTell) or correction.share is None:
        reason = interval.reason if isinstance(interval, CannotTell) else "they are too few"
        return f"{begin}{labels} labels do not correct its rate: {reason}."
    return (
        f"{begin}corrected by {labels} labels of its own outputs, {1 - correction.share:.1%} pass "
        f"(95 % interval {1 - interval.high:.1%} to {1 - interval.low:.1%})."
    )


def _drift_notes(names: tuple[str, str], drift: Drift, day: str) -> list[str]:
    """Return what moved since a day; what cannot be told is left out."""
    shifts = {"its judge": drift.judge, "the feature": drift.feature}
    return [
        f"{names[0]}, {names[1]}: since the pin of {day} {noun} "
        f"{'moved' if shift.is_shown else 'did not move as far as can be shown'}: {shift.says}"
        for noun, shift in shifts.items()
        if isinstance(shift, Shift)
    ]
