"""Held-out items: evals measure on them, so nothing learns them or shows them to a model."""

from collections.abc import Callable, Sequence

from kiln_mcp.datasets.parts import is_held_out, tag_filter
from storage import Eval, ProjectStore, Task, TaskRun, TaskRunSplit, task_run_filter
from storage.index.queries import RunQuery


def is_measured_filter(evals: Sequence[Eval]) -> Callable[[TaskRun], bool]:
    """Return the test of whether an item is held out: by a tag, or by an eval's filter."""
    filters = {eval_record.eval_configs_filter_id for eval_record in evals}
    for eval_record in evals:
        part = eval_record.part("test")
        if isinstance(part, TaskRunSplit):
            filters.add(part.filter_id)
    tests = [task_run_filter(f) for f in filters if f and f.startswith(tag_filter(""))]
    return lambda run: is_held_out(run.tags) or any(test(run) for test in tests)


async def runs_to_show(store: ProjectStore, task: Task) -> list[TaskRun]:
    """Return the runs that prompts may show as examples: good ones that no eval measures on.

    A prompt that shows an item's answer would be measured on what it was told. Kiln shows such
    items too.
    """
    good = await store.runs(task, RunQuery("high_rating", is_from_eval=False))
    is_measured = is_measured_filter(await store.children(task, Eval))
    return [run for run in good if run.is_usable and not is_measured(run)]
