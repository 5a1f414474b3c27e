"""What evals measure on, so that nothing learns it or shows it to a model."""

from collections.abc import Callable, Sequence
from typing import Final

from storage import Eval, ProjectStore, Task, TaskRun, TaskRunSplit, task_run_filter
from storage.index.queries import RunQuery

HELD_OUT: Final = frozenset({"test", "golden"})
"""The parts of a data set that are measured on."""

_TAGS: Final = tuple(f"{part}_" for part in sorted(HELD_OUT))


def measured_on(evals: Sequence[Eval]) -> Callable[[TaskRun], bool]:
    """Return the test of whether an item is held out: by a tag, or by an eval's filter."""
    filters = {one.eval_configs_filter_id for one in evals}
    for one in evals:
        split = one.split("test")
        if isinstance(split, TaskRunSplit):
            filters.add(split.filter_id)
    tests = [task_run_filter(held) for held in filters if held and held.startswith("tag::")]
    return lambda run: _has_held_out_tag(run) or any(test(run) for test in tests)


async def runs_to_show(store: ProjectStore, task: Task) -> list[TaskRun]:
    """Return the runs that prompts may show as examples: good ones that no eval measures on.

    A prompt that shows an item's answer would be measured on what it was told. Kiln shows such
    items too.
    """
    good = await store.runs(task, RunQuery("high_rating", is_from_eval=False))
    is_measured = measured_on(await store.children(task, Eval))
    return [run for run in good if not is_measured(run)]


def _has_held_out_tag(run: TaskRun) -> bool:
    return any(tag.startswith(_TAGS) for tag in run.tags)
