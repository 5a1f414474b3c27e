"""What the capabilities of this room answer."""

from collections.abc import Sequence

from pydantic import Field

from kiln_mcp.evals.comparison import PairedDifference
from kiln_mcp.evals.rate_answers import NumberRow, RateRow, SliceRow
from kiln_mcp.evals.repeat_summaries import RepeatLine
from kiln_mcp.evals.summaries import ScoreLine
from kiln_mcp.llm import AnswerState
from kiln_mcp.statistics import CannotTell, Interval
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class EvaluatorCreated(Result):
    """A new evaluator, and the eval that it belongs to."""

    eval: str
    eval_id: str
    evaluator: str
    evaluator_id: str
    handle: str = Field(description="What names the evaluator in calls: `evaluator/correct`.")
    kind: str
    scores: list[str] = Field(description="The eval's score keys.")
    test_filter: str
    golden_filter: str
    test_items: int
    is_current: bool
    next: list[NextStep]


class ScoreRow(Result):
    """One line of a score table; low and high are the ends of the 95 % interval."""

    evaluator: str | None = Field(default=None, description="Where there are several.")
    run_config: str
    score: str
    mean: float
    low: float | None
    high: float | None
    n: int
    exclusions: int
    usd_each: float | None
    seconds_each: float | None

    @classmethod
    def of(cls, line: ScoreLine) -> "ScoreRow":
        """Return the row of a line, rounded for reading."""
        low, high = ends(line.interval)
        return cls(
            run_config=line.run_config,
            score=line.score,
            mean=round(line.mean, 4),
            low=low,
            high=high,
            n=line.count,
            exclusions=line.exclusions,
            usd_each=_round(line.cost_usd, 6),
            seconds_each=_round(line.latency_s, 3),
        )


class RepeatRow(Result):
    """What several outputs of an item, or verdicts of an output, say of one score.

    Rates are of items, with the ends of their 95 % intervals; the variance is of single verdicts.
    """

    evaluator: str | None = Field(default=None, description="Where there are several.")
    run_config: str
    score: str
    outputs: int = Field(description="The most outputs of an item; the rates are of so many.")
    verdicts: int = Field(description="The most verdicts of an output.")
    pass_all: float | None = Field(default=None, description="Items whose outputs all pass.")
    pass_all_low: float | None = None
    pass_all_high: float | None = None
    pass_any: float | None = Field(default=None, description="Items of which one output passes.")
    pass_any_low: float | None = None
    pass_any_high: float | None = None
    n: int | None = Field(default=None, description="Items with so many outputs.")
    variance: float | None = None
    variance_of_items: float | None = None
    variance_of_sampling: float | None = None
    variance_of_judge: float | None = None
    says: str

    @classmethod
    def of(cls, line: RepeatLine) -> "RepeatRow":
        """Return the row of a line, rounded for reading."""
        low, high = ends(line.pass_all.interval) if line.pass_all else (None, None)
        any_low, any_high = ends(line.pass_any.interval) if line.pass_any else (None, None)
        return cls(
            run_config=line.run_config,
            score=line.score,
            outputs=line.outputs,
            verdicts=line.verdicts,
            pass_all=_round(line.pass_all.mean if line.pass_all else None, 4),
            pass_all_low=low,
            pass_all_high=high,
            pass_any=_round(line.pass_any.mean if line.pass_any else None, 4),
            pass_any_low=any_low,
            pass_any_high=any_high,
            n=line.pass_all.count if line.pass_all else None,
            variance=_round(line.variance.total, 6),
            variance_of_items=_round(line.variance.item, 6),
            variance_of_sampling=_round(line.variance.sampling, 6),
            variance_of_judge=_round(line.variance.judge, 6),
            says=line.says,
        )


class FailedItem(Result):
    """An item that could not be scored."""

    item: str
    run_config: str
    reason: str
    state: AnswerState | None = Field(
        default=None, description="Of an answer that could not be used."
    )


class EvaluatorCounts(Result):
    """What one of several evaluators did in a run."""

    evaluator: str
    newly_scored: int
    already_scored: int
    skipped: int
    abstentions: int
    failed: int
    problem: str | None = Field(default=None, description="Why it did not run.")


class EvalRunReport(Result):
    """What a run of an eval did, and the score table or how often stored outputs fail."""

    eval: str
    evaluator: str = Field(description="Of several, their names.")
    part: str = Field(description="The part, or what the stored outputs are.")
    items: int
    newly_scored: int
    already_scored: int
    outputs_made: int
    skipped: int
    abstentions: int = Field(
        default=0, description="Items that the judge said cannot be judged: no score."
    )
    failed: int
    failed_by_state: dict[AnswerState, int] = Field(
        default={}, description="Failed because of an answer that could not be used."
    )
    failures: list[FailedItem] = Field(description="The first five.")
    evaluators: list[EvaluatorCounts] = Field(default=[], description="Where there are several.")
    rates: list[RateRow] = Field(default=[], description="How often stored outputs fail.")
    numbers: list[NumberRow] = Field(default=[], description="What stored outputs took.")
    table: list[ScoreRow] = Field(default=[], description="What run configs reached.")
    repeats: list[RepeatRow] = Field(default=[], description="Where items have several outputs.")
    warnings: list[str]
    next: list[NextStep]


class ComparisonRow(Result):
    """Two run configs on one score; difference is the second less the first."""

    score: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    test: str
    n: int
    first_better_on: int
    second_better_on: int
    says: str

    @classmethod
    def of(cls, score: str, difference: PairedDifference, says: str) -> "ComparisonRow":
        """Return the row of a comparison, rounded for reading."""
        low, high = ends(difference.interval)
        p_value = (
            None if isinstance(difference.p_value, CannotTell) else round(difference.p_value, 6)
        )
        return cls(
            score=score,
            first=round(difference.first, 4),
            second=round(difference.second, 4),
            difference=round(difference.difference, 4),
            low=low,
            high=high,
            p_value=p_value,
            test=difference.test,
            n=difference.count,
            first_better_on=difference.only_first,
            second_better_on=difference.only_second,
            says=says,
        )


class EvaluatorSummary(Result):
    """One evaluator of an eval."""

    evaluator: str
    id: str
    handle: str = Field(description="What names it in calls, such as `evaluator/correct`.")
    kind: str
    model: str | None
    is_current: bool
    results: int


class EvalSummary(Result):
    """One eval."""

    eval: str
    id: str
    handle: str = Field(description="What names it in calls, such as `eval/correct`.")
    task: str
    scores: list[str]
    test_items: int
    golden_items: int
    evaluators: int


class ShownItem(Result):
    """One item with a run config's output and its scores; long texts are cut."""

    item: str
    run_config: str
    input: str
    expected: str | None
    also_right: list[str] = Field(default=[], description="Other right outputs; the first five.")
    output: str
    outputs: int | None = Field(default=None, description="Outputs of the item; the worst is here.")
    outputs_right: int | None = Field(default=None, description="Those with the best scores.")
    scores: dict[str, float]
    why: str | None


class EvalReport(Result):
    """The evals of a project, or one eval in full."""

    evals: list[EvalSummary]
    evaluators: list[EvaluatorSummary]
    table: list[ScoreRow]
    repeats: list[RepeatRow] = Field(default=[], description="Where items have several outputs.")
    rates: list[RateRow] = Field(default=[], description="How often stored outputs fail.")
    numbers: list[NumberRow] = Field(default=[], description="What stored outputs took.")
    slices: list[SliceRow] = Field(default=[], description="The worst first; small ones last.")
    conclusions: list[str] = Field(default=[], description="What the slices say.")
    warnings: list[str] = Field(default=[], description="What to know about the rates.")
    items: list[ShownItem] = Field(default=[], description="The worst first.")
    items_found: int | None = Field(default=None, description="How many fit, shown or not.")
    items_cursor: str | None = Field(default=None, description="Where the next items begin.")
    next: list[NextStep]


def ends(interval: Interval | CannotTell) -> tuple[float | None, float | None]:
    """Return an interval's ends, rounded; nothing where it cannot be told."""
    if isinstance(interval, CannotTell):
        return None, None
    return round(interval.low, 4), round(interval.high, 4)


def first_failures(failures: Sequence[FailedItem], count: int = 5) -> list[FailedItem]:
    """Return the first few failures."""
    return list(failures[:count])


def _round(value: float | CannotTell | None, digits: int) -> float | None:
    return round(value, digits) if isinstance(value, float | int) else None
