"""The outputs of a task that questions are asked on: stored ones that no eval measures on."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from kiln_mcp.datasets.held_out import is_measured_filter
from storage import Eval, ProjectStore, Task, TaskRun
from storage.index.queries import RunQuery
from storage.index.results import items

MOST_OUTPUTS: Final = 200
"""The most outputs that are read; of more, the same ones are drawn each time."""


@dataclass(frozen=True, slots=True)
class RealOutput:
    """An output of the task, by the id of its run."""

    id: str
    input: str
    output: str


async def real_outputs(store: ProjectStore, task: Task) -> list[RealOutput]:
    """Return outputs of a task that a person may be asked about, in a random but fixed order.

    Held-out ones are left out: a spec must not be made on what measures it.
    """
    path = task.saved.path
    query = RunQuery(is_from_eval=False, is_complete=True, is_last_turn=True)
    rows = await store.ask(lambda index: items(index, path, query))
    rows = sorted(rows, key=lambda row: blake2b(row.id.encode(), digest_size=8).digest())
    records = await store.read_all(TaskRun, [row.path for row in rows[:MOST_OUTPUTS]])
    is_measured = is_measured_filter(await store.children(task, Eval))
    runs = {run.id: run for run in records.values() if not is_measured(run)}
    return [
        RealOutput(row.id, runs[row.id].input, runs[row.id].output.output)
        for row in rows
        if row.id in runs
    ]
