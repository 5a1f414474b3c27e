"""The report of a run of an eval, and the score table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kiln_mcp.evals.answers import (
    EvalRunReport,
    EvaluatorCounts,
    FailedItem,
    RepeatRow,
    ScoreRow,
    first_failures,
)
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.rate_reports import RateReport, rate_report
from kiln_mcp.evals.repeat_summaries import repeat_lines
from kiln_mcp.evals.run_outcomes import Failure, RunOutcome
from kiln_mcp.evals.run_requests import RunWork
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.evals.sentences import (
    after_run,
    empty_score_warnings,
    repeat_warnings,
    run_warnings,
    uniform_warnings,
)
from kiln_mcp.evals.summaries import score_lines
from kiln_mcp.evaluators.program_gaps import program_warnings
from kiln_mcp.llm import AnswerState
from storage import TaskRunConfig
from storage.errors import NextStep


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """What run configs reached, what their repeats say, and which scores say nothing."""

    rows: list[ScoreRow] = field(default_factory=list[ScoreRow])
    repeats: list[RepeatRow] = field(default_factory=list[RepeatRow])
    empty_scores: Sequence[str] = ()

    def of(self, evaluator: str) -> "ScoreTable":
        """Return the same table whose rows name their evaluator."""
        update = {"evaluator": evaluator}
        return ScoreTable(
            [row.model_copy(update=update) for row in self.rows],
            [row.model_copy(update=update) for row in self.repeats],
            self.empty_scores,
        )


async def score_table(
    measurement: Measurement, configs: Sequence[TaskRunConfig], items: Sequence[str]
) -> ScoreTable:
    """Return the score table of run configs over items, the best first."""
    outputs = await read_scored_outputs(measurement, configs)
    lines = await score_lines(measurement, configs, items, outputs)
    repeats = repeat_lines(measurement, configs, items, outputs)
    return ScoreTable(
        [ScoreRow.of(line) for line in lines],
        [RepeatRow.of(line) for line in repeats],
        outputs.empty,
    )


async def run_report(work: RunWork, outcomes: Sequence[RunOutcome], seed: int) -> EvalRunReport:
    """Return what a run of an eval did, with the score table or the rates of stored outputs.

    Args:
        work: What was planned.
        outcomes: What was done of each plan.
        seed: Of the rates' intervals.
    """
    tables = await _tables(work)
    rates = RateReport()
    if work.outputs is not None:
        rates = await rate_report(work.measurements, work.outputs, seed)
    failures = _distinct(outcomes)
    notes = [await _notes(work, number, outcome, tables) for number, outcome in enumerate(outcomes)]
    names = [measurement.evaluator_record.name for measurement in work.measurements]
    states = Counter[AnswerState](f.state for f in failures if f.state is not None)
    return EvalRunReport(
        eval=work.measurements[0].eval_record.name,
        evaluator=", ".join(names),
        part=work.part,
        items=len(work.items),
        newly_scored=sum(outcome.new_verdicts for outcome in outcomes),
        already_scored=sum(outcome.existing for outcome in outcomes),
        outputs_made=sum(outcome.new_outputs for outcome in outcomes),
        skipped=sum(outcome.skipped for outcome in outcomes),
        abstentions=sum(outcome.abstentions for outcome in outcomes),
        failed=len(failures),
        failed_by_state=dict(states),
        failures=first_failures([_failed_item(failure) for failure in failures]),
        evaluators=_counts(work, outcomes),
        rates=rates.rates,
        numbers=rates.numbers,
        table=[row for table in tables for row in table.rows],
        repeats=[row for table in tables for row in table.repeats],
        warnings=[
            *work.warnings,
            *rates.warnings,
            *_merged(names, [sentences for sentences, _ in notes]),
        ],
        next=rates.next or _distinct_steps(steps for _, steps in notes),
    )


async def _tables(work: RunWork) -> list[ScoreTable]:
    """Return the score table of each evaluator; empty for stored outputs."""
    if work.outputs is not None:
        return [ScoreTable() for _ in work.plans]
    items = [item.id for item in work.items]
    tables = [await score_table(m, work.configs, items) for m in work.measurements]
    if len(tables) == 1:
        return tables
    names = [measurement.evaluator_record.name for measurement in work.measurements]
    return [table.of(name) for table, name in zip(tables, names, strict=True)]


async def _notes(
    work: RunWork, number: int, outcome: RunOutcome, tables: Sequence[ScoreTable]
) -> tuple[list[str], list[NextStep]]:
    """Return the warnings and next steps of one evaluator."""
    plan, table = work.plans[number], tables[number]
    measurement = plan.measurement
    # What labels say of stored outputs stands beside their rates.
    has_agreement = work.outputs is not None or await measurement.has_agreement()
    warnings = [
        *await program_warnings(measurement.evaluator_record),
        *run_warnings(measurement, outcome, len(work.items), has_agreement=has_agreement),
        *repeat_warnings(plan),
        *uniform_warnings(measurement, outcome, table.rows),
        *empty_score_warnings(table.empty_scores),
    ]
    return warnings, after_run(measurement, table.rows, has_agreement=has_agreement)


def _merged(names: Sequence[str], warnings: Sequence[Sequence[str]]) -> list[str]:
    """Return the warnings of all evaluators: once if it is of all, else with the name."""
    if len(names) == 1:
        return list(warnings[0])
    counts = Counter(sentence for sentences in warnings for sentence in set(sentences))
    merged: dict[str, None] = {}
    for name, sentences in zip(names, warnings, strict=True):
        for sentence in sentences:
            is_of_all = counts[sentence] == len(names)
            merged[sentence if is_of_all else f"{name}: {sentence}"] = None
    return list(merged)


def _counts(work: RunWork, outcomes: Sequence[RunOutcome]) -> list[EvaluatorCounts]:
    """Return what each evaluator did, where there are several."""
    if len(work.plans) + len(work.problems) == 1:
        return []
    counts = [
        EvaluatorCounts(
            evaluator=plan.measurement.evaluator_record.name,
            newly_scored=outcome.new_verdicts,
            already_scored=outcome.existing,
            skipped=outcome.skipped,
            abstentions=outcome.abstentions,
            failed=len(outcome.failures),
        )
        for plan, outcome in zip(work.plans, outcomes, strict=True)
    ]
    idle = [
        EvaluatorCounts(
            evaluator=name,
            newly_scored=0,
            already_scored=0,
            skipped=0,
            abstentions=0,
            failed=0,
            problem=problem,
        )
        for name, problem in work.problems.items()
    ]
    return counts + idle


def _distinct(outcomes: Sequence[RunOutcome]) -> list[Failure]:
    """Return the failures of all evaluators; an output that could not be made is one failure."""
    return list(dict.fromkeys(failure for outcome in outcomes for failure in outcome.failures))


def _failed_item(failure: Failure) -> FailedItem:
    return FailedItem(
        item=failure.item_id,
        run_config=failure.run_config,
        reason=failure.reason,
        state=failure.state,
    )


def _distinct_steps(steps: Iterable[Sequence[NextStep]]) -> list[NextStep]:
    return list({str(step): step for group in steps for step in group}.values())
