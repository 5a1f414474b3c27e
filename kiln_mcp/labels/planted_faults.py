"""What minimal pairs say of labels: their outputs were edited until exactly one clause broke."""

from typing import Final

from kiln_mcp.datasets.lineage import OUTCOME, PAIR_TAG, SPEC
from kiln_mcp.labels.golden_set import GoldenSet
from storage import ProjectStore, Spec, TaskRun
from storage.index.queries import RunQuery
from storage.index.results import items

NAME: Final = "the edit that broke a clause"
"""What reports call this evidence."""
_FAIL: Final = "fail"
_SCALES: Final = frozenset({"pass_fail", "pass_fail_critical"})


async def planted_faults(store: ProjectStore, golden_set: GoldenSet) -> dict[str, float]:
    """Return 0 for each output that was edited to break the spec of an eval, by item.

    Nothing is known of evals with several scores or with stars, nor of outputs that a person
    corrected since.
    """
    record, task = golden_set.task_eval.eval_record, golden_set.task_eval.task
    if len(golden_set.scores) != 1 or golden_set.scores[0].type not in _SCALES:
        return {}
    specs = {spec.id for spec in await store.children(task, Spec) if spec.eval_id == record.id}
    if not specs:
        return {}
    path, query = task.saved.path, RunQuery(f"tag::{PAIR_TAG}", is_from_eval=False)
    rows = await store.ask(lambda index: items(index, path, query))
    runs = await store.read_all(TaskRun, [row.path for row in rows]) if rows else {}
    return {run.id: 0.0 for run in runs.values() if _breaks_one_of(run, specs)}


def _breaks_one_of(run: TaskRun, specs: set[str]) -> bool:
    source = run.output.source
    if source is None or run.repaired_output is not None:
        return False
    return source.properties.get(OUTCOME) == _FAIL and source.properties.get(SPEC) in specs
