"""Reports of evals: their evaluators, the score table of run configs, and items to look at."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.datasets.counts import count_golden, count_items
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.answers import (
    EvalReport,
    EvalSummary,
    EvaluatorSummary,
)
from kiln_mcp.evals.arguments import ItemsToShow
from kiln_mcp.evals.eval_items import ItemReference, items_of
from kiln_mcp.evals.lookups import (
    find_run_configs,
    load_measurement,
)
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.run_reports import ScoreTable, score_table
from kiln_mcp.evals.worst_items import ItemsPage, look_at
from kiln_mcp.evaluators.registry import evaluator_of, kind_name
from kiln_mcp.projects.project_references import handles
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
)
from storage.errors import NextStep

HEAD_ROWS: Final = 3
"""Rows of a table in a short answer that is about something else."""


async def eval_report(
    workspace: Workspace,
    store: ProjectStore,
    task_eval: TaskEval,
    evaluator: str | None,
    show: ItemsToShow | None,
) -> EvalReport:
    """Return the report of one eval.

    A short one has few evaluators, and with items the heads of its tables alone.
    """
    record = task_eval.eval_record
    evaluators = await store.children(record, EvalConfig)
    evaluators.sort(key=lambda item: item.id != record.current_config_id)
    is_short = workspace.answer_tokens is not None
    row_limit = HEAD_ROWS if show and is_short else None
    evaluator_handles = await handles(store, EvalConfig)
    view = await _look(store, task_eval, evaluator, show) if show else None
    table = await _table(store, task_eval, evaluator) if evaluators else ScoreTable()
    return EvalReport(
        evals=await eval_summaries(store, [task_eval]),
        evaluators=[
            await _evaluator(store, record, item, evaluator_handles[item.id])
            for item in evaluators[: HEAD_ROWS if is_short else None]
        ],
        table=table.rows[:row_limit],
        repeats=table.repeats[:row_limit],
        items=view.items if view else [],
        items_found=view.total if view else None,
        items_cursor=view.next_cursor if view else None,
        next=[]
        if evaluators
        else [NextStep(tool="create_evaluator", reason="give this eval an evaluator")],
    )


async def _look(
    store: ProjectStore, task_eval: TaskEval, evaluator: str | None, show: ItemsToShow
) -> ItemsPage:
    measurement = await load_measurement(store, task_eval, evaluator)
    configs = await find_run_configs(
        store, measurement.task, [show.run_config] if show.run_config else []
    )
    items = await items_of_part(measurement, show.part)
    return await look_at(
        measurement,
        configs,
        items,
        failures=show.failures_only,
        limit=show.limit,
        cursor=show.cursor,
    )


async def _table(store: ProjectStore, task_eval: TaskEval, evaluator: str | None) -> ScoreTable:
    measurement = await load_measurement(store, task_eval, evaluator)
    config_ids = await measurement.judged_run_configs()
    if not config_ids:
        return ScoreTable()
    configs = [
        config
        for config in await find_run_configs(store, measurement.task, [])
        if config.id in config_ids
    ]
    items = [item.id for item in await items_of_part(measurement, "test")]
    return await score_table(measurement, configs, items)


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
