"""Held-out items: evals measure on them, so nothing learns them or shows them to a model."""

from collections.abc import Callable, Sequence

from kiln_mcp.datasets.parts import is_held_out, tag_filter
from storage import Eval, ProjectStore, Task, TaskRun, TaskRunSplit, task_run_filter
from storage.index.queries import IndexReader, RunQuery


def is_measured_filter(evals: Sequence[Eval]) -> Callable[[TaskRun], bool]:
    """Return the test of whether an item is held out: by a tag, or by an eval's filter."""
    tests = [task_run_filter(filter_id) for filter_id in _measured_filters(evals)]
    return lambda run: is_held_out(run.tags) or any(test(run) for test in tests)


def _measured_filters(evals: Sequence[Eval]) -> list[str]:
    """Return the filters by tag of what evals measure on."""
    filters = {eval_record.eval_configs_filter_id for eval_record in evals}
    for eval_record in evals:
        part = eval_record.part("test")
        if isinstance(part, TaskRunSplit):
            filters.add(part.filter_id)
    return sorted(f for f in filters if f and f.startswith(tag_filter("")))


async def held_out_paths(store: ProjectStore, task: Task) -> list[str]:
    """Return the files of all held-out items of a task, by the index."""
    tags = [tag for tag in await store.tags(task) if is_held_out([tag])]
    evals = await store.children(task, Eval)
    filters = {*map(tag_filter, tags), *_measured_filters(evals)}

    async def run_paths(index: IndexReader) -> set[str]:
        queries = [RunQuery(filter_id) for filter_id in filters]
        return {path for q in queries for path in await index.run_paths(task.saved.path, q)}

    return sorted(await store.ask(run_paths))


async def runs_to_show(store: ProjectStore, task: Task) -> list[TaskRun]:
    """Return the runs that prompts may show as examples: good ones that no eval measures on.

    A prompt that shows an item's answer would be measured on what it was told. Kiln shows such
    items too.
    """
    good = await store.runs(task, RunQuery("high_rating", is_from_eval=False))
    is_measured = is_measured_filter(await store.children(task, Eval))
    return [run for run in good if run.is_usable and not is_measured(run)]
