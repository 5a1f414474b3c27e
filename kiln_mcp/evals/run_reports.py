"""The report of a run of an eval, and the score table."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kiln_mcp.evals.answers import (
    EvalRunReport,
    FailedItem,
    RepeatRow,
    ScoreRow,
    first_failures,
)
from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evals.measurement import Measurement, VerdictPlan
from kiln_mcp.evals.repeat_summaries import repeat_lines
from kiln_mcp.evals.run_outcomes import RunOutcome
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
from storage import TaskRunConfig


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """What run configs reached, what their repeats say, and which scores say nothing."""

    rows: list[ScoreRow] = field(default_factory=list[ScoreRow])
    repeats: list[RepeatRow] = field(default_factory=list[RepeatRow])
    empty_scores: Sequence[str] = ()


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


async def run_report(
    work: VerdictPlan,
    outcome: RunOutcome,
    configs: Sequence[TaskRunConfig],
    items: Sequence[ItemReference],
    part: str,
) -> EvalRunReport:
    """Return what a run of an eval did, with the score table.

    Args:
        work: What was planned.
        outcome: What was done.
        configs: The run configs.
        items: The items.
        part: The name of their part.
    """
    measurement = work.measurement
    has_agreement = await measurement.has_agreement()
    table = await score_table(measurement, configs, [item.id for item in items])
    failures = [
        FailedItem(item=f.item_id, run_config=f.run_config, reason=f.reason, state=f.state)
        for f in outcome.failures
    ]
    return EvalRunReport(
        eval=measurement.eval_record.name,
        evaluator=measurement.evaluator_record.name,
        part=part,
        items=len(items),
        newly_scored=outcome.new_verdicts,
        already_scored=outcome.existing,
        outputs_made=outcome.new_outputs,
        skipped=outcome.skipped,
        abstentions=outcome.abstentions,
        failed=len(failures),
        failed_by_state=dict(outcome.failures_by_state),
        failures=first_failures(failures),
        table=table.rows,
        repeats=table.repeats,
        warnings=[
            *await program_warnings(measurement.evaluator_record),
            *run_warnings(measurement, outcome, len(items), has_agreement=has_agreement),
            *repeat_warnings(work),
            *uniform_warnings(measurement, outcome, table.rows),
            *empty_score_warnings(table.empty_scores),
        ],
        next=after_run(measurement, table.rows, has_agreement=has_agreement),
    )
