"""What several outputs of an item, and several verdicts of an output, say of a run config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from kiln_mcp.evals.comparison import MeanScore
from kiln_mcp.evals.item_scores import Outputs
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.scored_outputs import ScoredOutputs
from kiln_mcp.statistics import (
    CannotTell,
    VarianceComponents,
    clustered_rate_interval,
    pass_all_rate,
    pass_any_rate,
    variance_components,
)
from storage import TaskRunConfig

JUDGED_PASS: Final = 0.5
"""The score from which on an output passes whose judge is a model; a check's pass is 1."""
PARTS: Final[Mapping[str, str]] = {
    "item": "items",
    "item_and_sampling": "items and sampling",
    "sampling": "sampling",
    "sampling_and_judge": "sampling and judge",
    "judge": "judge",
}


@dataclass(frozen=True, slots=True)
class RepeatLine:
    """One score of one run config whose items have several outputs or verdicts.

    Attributes:
        run_config: The run config's name.
        score: The score's key.
        outputs: The most outputs of an item; the rates are of so many.
        verdicts: The most verdicts of an output.
        pass_all: The rate of items whose outputs all pass; None without repeats or a pass.
        pass_any: The rate of items of which one output passes.
        variance: What the score's variance is made of.
    """

    run_config: str
    score: str
    outputs: int
    verdicts: int
    pass_all: MeanScore | None
    pass_any: MeanScore | None
    variance: VarianceComponents

    @property
    def says(self) -> str:
        """The parts of the variance, and what cannot be told."""
        total = self.variance.total
        if isinstance(total, CannotTell):
            return f"Cannot tell the variance: {total.reason}."
        values = {name: getattr(self.variance, name) for name in PARTS}
        if not isinstance(values["sampling"], CannotTell):
            del values["item_and_sampling"], values["sampling_and_judge"]
        components = {PARTS[n]: v for n, v in values.items() if isinstance(v, float)}
        shares = [
            f"{part} {value:.4f} ({value / total:.0%})" if total else f"{part} 0"
            for part, value in components.items()
        ]
        unknown = {
            v.reason: PARTS[n]
            for n, v in values.items()
            if isinstance(v, CannotTell) and "_and_" not in n
        }
        gaps = [f"Cannot tell {part} apart: {reason}." for reason, part in unknown.items()]
        return " ".join([f"Variance {total:.4f}: {', '.join(shares)}.", *gaps])


def repeat_lines(
    measurement: Measurement,
    run_configs: Sequence[TaskRunConfig],
    items: Sequence[str],
    scores: ScoredOutputs,
) -> list[RepeatLine]:
    """Return a line for each score of each run config with repeats among these items.

    Args:
        measurement: The eval.
        run_configs: The run configs.
        items: The items.
        scores: The scores of the outputs.
    """
    lines: list[RepeatLine] = []
    for config in run_configs:
        for score in measurement.eval_record.output_scores:
            outputs = scores.of(config.id, score.json_key, items)
            most_outputs = max(map(len, outputs), default=0)
            most_verdicts = max((len(v) for item in outputs for v in item), default=0)
            if max(most_outputs, most_verdicts) < 2:
                continue
            is_judged = measurement.evaluator.model is not None
            has_pass = score.type != "five_star" and most_outputs > 1
            threshold = JUDGED_PASS if is_judged else 1.0
            rates = _pass_rates(outputs, most_outputs, threshold) if has_pass else (None, None)
            variance = variance_components(outputs, is_exact=not is_judged)
            lines.append(
                RepeatLine(
                    config.name, score.json_key, most_outputs, most_verdicts, *rates, variance
                )
            )
    return lines


def _pass_rates(
    items: Sequence[Outputs], size: int, threshold: float
) -> tuple[MeanScore, MeanScore]:
    """Return the rates of items that pass all, and any, of so many outputs.

    Items with fewer outputs do not count.
    """
    counts = [
        (sum(fmean(verdicts) >= threshold for verdicts in outputs), len(outputs))
        for outputs in items
        if len(outputs) >= size
    ]
    return (
        _rate([pass_all_rate(passes, outputs, size) for passes, outputs in counts], size),
        _rate([pass_any_rate(passes, outputs, size) for passes, outputs in counts], size),
    )


def _rate(rates: Sequence[float], size: int) -> MeanScore:
    return MeanScore(fmean(rates), clustered_rate_interval(rates, len(rates) * size), len(rates))
