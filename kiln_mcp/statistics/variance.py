"""The variance of scores, told apart by items, by outputs of an item, by verdicts of an output."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kiln_mcp.statistics.interval import CannotTell

Output = Sequence[float]
"""The verdicts of one output."""

_NO_REPEATS = "every item has one output"
_NO_VERDICTS = "every output has one verdict"
_FEW_ITEMS = "there is one item"


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """What the variance of a score is made of, or why a part cannot be told.

    Attributes:
        total: The variance of a single verdict of a single output of an item.
        item: Between items.
        sampling: Between outputs of one item.
        judge: Between verdicts of one output.
        sampling_and_judge: Both together, which one verdict an output tells.
        item_and_sampling: Both together, which one output an item tells.
    """

    total: float | CannotTell
    item: float | CannotTell
    sampling: float | CannotTell
    judge: float | CannotTell
    sampling_and_judge: float | CannotTell
    item_and_sampling: float | CannotTell


@dataclass(frozen=True, slots=True)
class _MeanSquares:
    """The mean squares of a nested design, and what they are expected to hold.

    Attributes:
        verdict: Of verdicts within outputs; None without repeated verdicts.
        output: Of outputs within items; None without repeated outputs.
        item: Of items; None for one item.
        outputs_in_output: How often `output` holds the variance between outputs.
        outputs_in_item: How often `item` holds it.
        items_in_item: How often `item` holds the variance between items.
    """

    verdict: float | None
    output: float | None
    item: float | None
    outputs_in_output: float
    outputs_in_item: float
    items_in_item: float


def variance_components(
    items: Sequence[Sequence[Output]], *, is_exact: bool = False
) -> VarianceComponents:
    """Estimate the variance between items, outputs and verdicts.

    The model has random effects, nested: a verdict is the mean, plus the item's effect, plus the
    output's, plus the verdict's own. Items may have different numbers of outputs, and outputs of
    verdicts. A negative estimate becomes 0.

    Args:
        items: For each item its outputs, for each output its verdicts; none is empty.
        is_exact: Whether the same output always gets the same verdict, as from a check.

    Raises:
        ValueError: There is no item, or one without an output or verdict.

    Source:
        Searle, Casella and McCulloch (1992), Variance Components, section 5.3 and appendix F.1:
        ANOVA estimators of the unbalanced nested design.
    """
    if not items or any(not item or not all(item) for item in items):
        raise ValueError("Each item needs an output, and each output a verdict.")
    squares = _mean_squares(items)
    judge = CannotTell(_NO_VERDICTS) if squares.verdict is None else squares.verdict
    if is_exact:
        judge = 0.0
    if squares.output is None:
        return _of_single_outputs(squares, judge)
    if isinstance(judge, CannotTell):
        sampling, within, rest = judge, squares.output, squares.output
    else:
        sampling = max(0.0, (squares.output - judge) / squares.outputs_in_output)
        within, rest = sampling + judge, judge + squares.outputs_in_item * sampling
    item = _excess(squares, rest)
    return VarianceComponents(
        total=_sum(item, within),
        item=item,
        sampling=sampling,
        judge=judge,
        sampling_and_judge=within,
        item_and_sampling=_sum(item, sampling),
    )


def _of_single_outputs(squares: _MeanSquares, judge: float | CannotTell) -> VarianceComponents:
    """Return the components of items with one output each: items and outputs go together."""
    judge_variance = 0.0 if isinstance(judge, CannotTell) else judge
    between = _excess(squares, judge_variance)
    return VarianceComponents(
        total=_sum(between, judge_variance),
        item=CannotTell(_NO_REPEATS),
        sampling=CannotTell(_NO_REPEATS),
        judge=judge,
        sampling_and_judge=CannotTell(_NO_REPEATS),
        item_and_sampling=judge if isinstance(judge, CannotTell) else between,
    )


def _excess(squares: _MeanSquares, rest: float) -> float | CannotTell:
    """Return the variance between items: what their mean square holds beside the rest."""
    if squares.item is None:
        return CannotTell(_FEW_ITEMS)
    return max(0.0, (squares.item - rest) / squares.items_in_item)


def _sum(first: float | CannotTell, second: float | CannotTell) -> float | CannotTell:
    if isinstance(first, CannotTell):
        return first
    return second if isinstance(second, CannotTell) else first + second


def _mean_squares(items: Sequence[Sequence[Output]]) -> _MeanSquares:
    outputs = [output for item in items for output in item]
    verdicts = sum(map(len, outputs))
    sizes = [sum(map(len, item)) for item in items]
    mean = fmean(value for output in outputs for value in output)
    item_means = [sum(map(sum, item)) / size for item, size in zip(items, sizes, strict=True)]
    of_verdicts = sum((value - fmean(output)) ** 2 for output in outputs for value in output)
    of_outputs = sum(
        len(output) * (fmean(output) - item_mean) ** 2
        for item, item_mean in zip(items, item_means, strict=True)
        for output in item
    )
    of_items = sum(
        size * (item_mean - mean) ** 2 for size, item_mean in zip(sizes, item_means, strict=True)
    )
    # The sums of squares of sizes, by which unequal numbers of verdicts weigh.
    by_item = sum(
        sum(len(output) ** 2 for output in item) / size
        for item, size in zip(items, sizes, strict=True)
    )
    by_all = sum(len(output) ** 2 for output in outputs) / verdicts
    free_verdicts = verdicts - len(outputs)
    free_outputs = len(outputs) - len(items)
    free_items = len(items) - 1
    return _MeanSquares(
        verdict=of_verdicts / free_verdicts if free_verdicts else None,
        output=of_outputs / free_outputs if free_outputs else None,
        item=of_items / free_items if free_items else None,
        outputs_in_output=(verdicts - by_item) / free_outputs if free_outputs else 1.0,
        outputs_in_item=(by_item - by_all) / free_items if free_items else 1.0,
        items_in_item=(verdicts - sum(size**2 for size in sizes) / verdicts) / free_items
        if free_items
        else 1.0,
    )
