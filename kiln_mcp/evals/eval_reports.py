"""Reports of evals: their evaluators, the score table of run configs, and items to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.datasets.counts import count_golden, count_items
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.answers import (
    EvalReport,
    EvalSummary,
    EvaluatorSummary,
)
from kiln_mcp.evals.arguments import ItemsToShow, ReportRequest
from kiln_mcp.evals.config_notes import config_notes
from kiln_mcp.evals.eval_items import ItemReference, items_of
from kiln_mcp.evals.lookups import (
    find_run_configs,
    load_measurement,
)
from kiln_mcp.evals.measurement import STORED_OUTPUT, Measurement
from kiln_mcp.evals.rate_reports import RateReport, SliceReport, rate_report, slice_report
from kiln_mcp.evals.run_reports import ScoreTable, score_table
from kiln_mcp.evals.stored_outputs import EVERY, select_outputs
from kiln_mcp.evals.worst_items import ItemsPage, look_at
from kiln_mcp.evaluators.registry import evaluator_of, kind_name
from kiln_mcp.projects.project_references import handles
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
    TaskRunConfig,
)
from storage.errors import NextStep
from storage.index.results import STORED

HEAD_ROWS: Final = 3
"""Rows of a table in a short answer that is about something else."""


async def eval_report(
    workspace: Workspace, store: ProjectStore, task_eval: TaskEval, request: ReportRequest
) -> EvalReport:
    """Return the report of one eval.

    A short one has few evaluators, and with items the heads of its tables alone.
    """
    record = task_eval.eval_record
    evaluators = await store.children(record, EvalConfig)
    evaluators.sort(key=lambda item: item.id != record.current_config_id)
    is_short = workspace.answer_tokens is not None
    row_limit = HEAD_ROWS if request.items and is_short else None
    evaluator_handles = await handles(store, EvalConfig)
    sections = await _sections(store, task_eval, request) if evaluators else _Sections()
    page, table, rates = sections.page, sections.table, sections.rates
    return EvalReport(
        evals=await eval_summaries(store, [task_eval]),
        evaluators=[
            await _evaluator(store, record, item, evaluator_handles[item.id])
            for item in evaluators[: HEAD_ROWS if is_short else None]
        ],
        table=table.rows[:row_limit],
        repeats=table.repeats[:row_limit],
        rates=rates.rates[:row_limit],
        numbers=[] if request.items or request.slice_by else rates.numbers,
        slices=[row for row in sections.slices.rows if not is_short or row.rate is not None],
        conclusions=[*sections.slices.says, *sections.notes],
        warnings=[] if request.items else rates.warnings,
        items=page.items if page else [],
        items_found=page.total if page else None,
        items_cursor=page.next_cursor if page else None,
        next=_next_steps(request, rates)
        if evaluators
        else [NextStep(tool="create_evaluator", reason="give this eval an evaluator")],
    )


def _next_steps(request: ReportRequest, rates: RateReport) -> list[NextStep]:
    """Return the calls that help now, less those that show what is shown already."""
    if request.items is None and request.slice_by is None:
        return rates.next
    return [step for step in rates.next if step.tool != "show_results"]


@dataclass(frozen=True, slots=True)
class _Sections:
    """The parts of a report that results give."""

    table: ScoreTable = field(default_factory=ScoreTable)
    rates: RateReport = field(default_factory=RateReport)
    slices: SliceReport = field(default_factory=SliceReport)
    page: ItemsPage | None = None
    notes: Sequence[str] = ()


async def _sections(store: ProjectStore, task_eval: TaskEval, request: ReportRequest) -> _Sections:
    measurement = await load_measurement(store, task_eval, request.evaluator)
    configs = await _judged_configs(measurement)
    judges = await _judges_of_stored(measurement, is_named=request.evaluator is not None)
    if request.outputs is not None or (judges and not configs):
        return await _stored_sections(judges or [measurement], request)
    items = await items_of_part(measurement, request.part)
    test_ids = [item.id for item in await items_of_part(measurement, "test")]
    table = await score_table(measurement, configs, test_ids) if configs else ScoreTable()
    slices = await _config_slices(measurement, configs, items, request)
    page = await _page(measurement, items, request.items) if request.items else None
    notes = [] if page else await config_notes(measurement, configs, test_ids)
    return _Sections(table, slices=slices, page=page, notes=notes)


async def _config_slices(
    measurement: Measurement,
    configs: Sequence[TaskRunConfig],
    items: Sequence[ItemReference],
    request: ReportRequest,
) -> SliceReport:
    """Return the rates by slice of one run config, or of all that have results."""
    report = SliceReport()
    if request.slice_by is None:
        return report
    if request.run_config is not None:
        configs = await find_run_configs(measurement.store, measurement.task, [request.run_config])
    item_ids = [item.id for item in items]
    for config in configs:
        run_config = (config.id, config.name)
        part = await slice_report([measurement], item_ids, request.slice_by, run_config)
        report.rows.extend(part.rows)
        report.says.extend(part.says)
    return report


async def _stored_sections(judges: Sequence[Measurement], request: ReportRequest) -> _Sections:
    """Return how often stored outputs fail, where, and the worst of them."""
    first = judges[0]
    outputs = await select_outputs(first.store, first.task, request.outputs or EVERY)
    rates = await rate_report(judges, outputs)
    items = [ItemReference(run.id, "task_run", run.path) for run in outputs.runs]
    slices = SliceReport()
    if request.slice_by:
        slices = await slice_report(judges, [item.id for item in items], request.slice_by)
    page = None
    if request.items:
        show = request.items
        page = await look_at(
            first,
            {STORED: STORED_OUTPUT},
            items,
            failures=show.failures_only,
            limit=show.limit,
            cursor=show.cursor,
        )
    return _Sections(rates=rates, slices=slices, page=page)


async def _page(
    measurement: Measurement, items: Sequence[ItemReference], show: ItemsToShow
) -> ItemsPage:
    configs = await find_run_configs(
        measurement.store, measurement.task, [show.run_config] if show.run_config else []
    )
    return await look_at(
        measurement,
        {config.id: config.name for config in configs},
        items,
        failures=show.failures_only,
        limit=show.limit,
        cursor=show.cursor,
    )


async def _judged_configs(measurement: Measurement) -> list[TaskRunConfig]:
    """Return the run configs that an evaluator has results of."""
    config_ids = await measurement.judged_run_configs()
    if not config_ids:
        return []
    configs = await find_run_configs(measurement.store, measurement.task, [])
    return [config for config in configs if config.id in config_ids]


async def _judges_of_stored(measurement: Measurement, *, is_named: bool) -> list[Measurement]:
    """Return the evaluators with results of stored outputs, the given one first."""
    records = [measurement.evaluator_record]
    if not is_named:
        own = measurement.evaluator_record.id
        other_records = await measurement.store.children(measurement.eval_record, EvalConfig)
        records += [record for record in other_records if record.id != own]
    candidates = [measurement.of(record) for record in records]
    return [judge for judge in candidates if await judge.has_stored_results()]


async def eval_summaries(store: ProjectStore, task_evals: Sequence[TaskEval]) -> list[EvalSummary]:
    """Return evals with the counts of their items and evaluators."""
    eval_handles = await handles(store, Eval)
    return [await _summary(store, item, eval_handles[item.id]) for item in task_evals]


async def _summary(store: ProjectStore, task_eval: TaskEval, handle: str) -> EvalSummary:
    return EvalSummary(
        eval=task_eval.eval_record.name,
        id=task_eval.eval_record.id,
        handle=handle,
        task=task_eval.task.name,
        scores=score_keys(task_eval.eval_record),
        test_items=await count_items(store, task_eval.task, task_eval.eval_record, "test"),
        golden_items=await count_golden(store, task_eval.task, task_eval.eval_record),
        evaluators=(await store.counts(task_eval.eval_record)).get("eval_config", 0),
    )


async def _evaluator(
    store: ProjectStore, eval_record: Eval, record: EvalConfig, handle: str
) -> EvaluatorSummary:
    return EvaluatorSummary(
        evaluator=record.name,
        id=record.id,
        handle=handle,
        kind=kind_name(record) if record.config_type == "v2" else record.config_type,
        model=evaluator_of(record).model,
        is_current=eval_record.current_config_id == record.id,
        results=(await store.counts(record)).get("eval_run", 0),
    )


async def items_of_part(measurement: Measurement, name: str) -> list[ItemReference]:
    """Return the items of a part of an eval."""
    part = measurement.eval_record.part(name)
    return await items_of(measurement.store, measurement.task, part)


def score_keys(eval_record: Eval) -> list[str]:
    """Return the keys of an eval's scores in its results."""
    return [score.json_key for score in eval_record.output_scores]
