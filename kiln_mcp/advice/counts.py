"""Take the inventory of a task from the store's index, so that its runs need not be read."""

from kiln_mcp.advice.inventory import EvalInventory, TaskInventory
from kiln_mcp.datasets.counts import count_items, golden_runs, is_known_filter
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.projects.runs.ratings import aspect_of, rating_of
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
    Task,
)
from storage.format.filters import is_filter


async def take_inventory(store: ProjectStore, task: Task) -> TaskInventory:
    """Count what there is of a task and of each of its evals."""
    counts = await store.counts(task)
    evals = [await _eval(store, task, one) for one in await store.children(task, Eval)]
    return TaskInventory(
        name=task.name,
        runs=counts.get("task_run", 0),
        specs=counts.get("spec", 0),
        run_configs=counts.get("task_run_config", 0),
        prompts=counts.get("prompt", 0),
        evals=tuple(evals),
    )


async def _eval(store: ProjectStore, task: Task, one: Eval) -> EvalInventory:
    judges = await store.children(one, EvalConfig)
    asking = {judge.saved.path for judge in judges if evaluator_of(judge).model}
    scored = await store.scored(one)
    of_configs = [cell for cell in scored if cell.run_config_id]
    golden = await golden_runs(store, task, one)
    asked = [aspect_of(score, task) for score in one.output_scores]
    ratings = [tuple(rating_of(run, aspect) for aspect in asked) for run in golden]
    complete = [rating for rating in ratings if None not in rating]
    return EvalInventory(
        name=one.name,
        judges=len(judges),
        test_items=await count_items(store, task, one, "test"),
        golden_items=len(golden),
        rated=len(complete),
        one_sided=len(complete) > 1 and len(set(complete)) == 1,
        results=sum(cell.items for cell in of_configs),
        compared=len({cell.run_config_id for cell in of_configs}),
        model_judges=len(asking),
        unknown_filter=_unknown_filter(one),
        calibrated=any(cell.judge in asking for cell in scored if not cell.run_config_id),
    )


def _unknown_filter(one: Eval) -> str | None:
    test, golden = one.split("test"), one.eval_configs_filter_id
    if test is not None and not is_known_filter(test):
        return test.filter_id
    return golden if golden is not None and not is_filter(golden) else None
