"""Take the inventory of a task from the store."""

from collections.abc import Sequence

from kiln_mcp.projects.inventory import EvalInventory, TaskInventory
from storage import (
    Eval,
    EvalConfig,
    EvalInput,
    EvalInputSplit,
    EvalRun,
    LlmJudge,
    ProjectStore,
    Prompt,
    Spec,
    StepsJudge,
    Task,
    TaskRun,
    TaskRunConfig,
    eval_input_filter,
    task_run_filter,
)


async def take_inventory(store: ProjectStore, task: Task) -> TaskInventory:
    """Count what there is of a task and of each of its evals."""
    runs = await store.children(task, TaskRun)
    cases = await store.children(task, EvalInput)
    evals = [
        await _eval(store, one, runs=runs, cases=cases) for one in await store.children(task, Eval)
    ]
    return TaskInventory(
        name=task.name,
        runs=len(runs),
        specs=len(await store.children(task, Spec)),
        run_configs=len(await store.children(task, TaskRunConfig)),
        prompts=len(await store.children(task, Prompt)),
        evals=tuple(evals),
    )


async def _eval(
    store: ProjectStore, one: Eval, *, runs: Sequence[TaskRun], cases: Sequence[EvalInput]
) -> EvalInventory:
    judges = await store.children(one, EvalConfig)
    by_judge = {judge.id: await store.children(judge, EvalRun) for judge in judges}
    results = [run for runs_of_judge in by_judge.values() for run in runs_of_judge]
    asking = [judge for judge in judges if isinstance(judge.properties, LlmJudge | StepsJudge)]
    configs = {run.task_run_config_id for run in results if run.task_run_config_id is not None}
    is_golden = task_run_filter(one.eval_configs_filter_id) if one.eval_configs_filter_id else None
    golden = [run for run in runs if is_golden is not None and is_golden(run)]
    ratings = [_ratings(run, one) for run in golden]
    complete = [rating for rating in ratings if None not in rating]
    return EvalInventory(
        name=one.name,
        judges=len(judges),
        test_items=_count(one, runs=runs, cases=cases),
        golden_items=len(golden),
        rated=len(complete),
        one_sided=len(complete) > 1 and len(set(complete)) == 1,
        results=sum(1 for run in results if run.task_run_config_id is not None),
        compared=len(configs),
        model_judges=len(asking),
        calibrated=any(run.eval_config_eval for judge in asking for run in by_judge[judge.id]),
    )


def _count(one: Eval, *, runs: Sequence[TaskRun], cases: Sequence[EvalInput]) -> int:
    split = one.split("test")
    if split is None:
        return 0
    if isinstance(split, EvalInputSplit):
        return sum(map(eval_input_filter(split.filter_id), cases))
    return sum(map(task_run_filter(split.filter_id), runs))


def _ratings(run: TaskRun, one: Eval) -> tuple[float | None, ...]:
    """Return a person's rating of a run for each score of the eval."""
    rating = run.output.rating
    given = rating.requirement_ratings if rating is not None else {}
    values: list[float | None] = []
    for score in one.output_scores:
        found = given.get(f"named::{score.name}")
        values.append(found.value if found is not None else None)
    return tuple(values)
