"""The outputs that a panel judges: real ones of the task, as different as can be."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio.to_thread

from kiln_mcp.datasets.held_out import is_measured_filter
from kiln_mcp.datasets.shingles import jaccard, shingles
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.stored_outputs import outputs_to_begin_with, select_outputs
from storage import Eval, ProjectStore, Task, TaskRun
from storage.text.excerpts import excerpt

MOST_COMPARED: Final = 400
"""Outputs, drawn at random, among which different ones are chosen."""
LONGEST_TEXT: Final = 6_000
"""Characters of an input or an output that a panel is shown."""


@dataclass(frozen=True, slots=True)
class PanelOutput:
    """One output that a panel judges.

    Attributes:
        item: The run's id.
        input: Its input.
        output: Its output.
        fingerprint: What changes with its texts.
    """

    item: str
    input: str
    output: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class PanelSample:
    """Outputs of a task, and of how many they are."""

    outputs: Sequence[PanelOutput]
    total: int


async def sample_outputs(
    store: ProjectStore, task: Task, name: str | None, limit: int, seed: int
) -> PanelSample:
    """Return outputs of a task that differ from each other; half of them are drawn at random.

    Held-out ones are left out: a spec must not be made on what measures it.

    Args:
        store: The project.
        task: The task.
        name: How a person names the outputs, as run_eval takes it; None for the usual ones.
        limit: How many at most.
        seed: Of the random draws.

    Raises:
        NothingToEvaluate: The task has no such output, or evals measure on all of them.
    """
    name = name or await outputs_to_begin_with(store, task)
    if name is None:
        raise NothingToEvaluate(f"No model has made an output of {task.name!r} yet.")
    selection = await select_outputs(store, task, name, MOST_COMPARED, seed)
    records = await store.read_all(TaskRun, [row.path for row in selection.runs])
    is_measured = is_measured_filter(await store.children(task, Eval))
    outputs = [
        PanelOutput(
            run.id,
            excerpt(run.input, LONGEST_TEXT),
            excerpt(run.output.output, LONGEST_TEXT),
            run.fingerprint,
        )
        for run in records.values()
        if not is_measured(run)
    ]
    if not outputs:
        raise NothingToEvaluate("All these outputs are held out: evals measure on them.")
    outputs.sort(key=lambda output: output.item)
    sample = await anyio.to_thread.run_sync(choose_different, outputs, limit, seed)
    return PanelSample(sample, selection.total)


def choose_different(outputs: Sequence[PanelOutput], limit: int, seed: int) -> list[PanelOutput]:
    """Return outputs, half at random, the others each as far as can be from those before."""
    order = random.Random(seed).sample(range(len(outputs)), len(outputs))
    if len(order) <= limit:
        return [outputs[n] for n in sorted(order)]
    sets = [shingles(output.output) for output in outputs]
    sample = order[: (limit + 1) // 2]
    candidates = order[len(sample) :]
    nearest = {n: max(jaccard(sets[n], sets[m]) for m in sample) for n in candidates}
    while len(sample) < limit:
        farthest = min(nearest, key=lambda n: (nearest[n], n))
        del nearest[farthest]
        sample.append(farthest)
        for n in nearest:
            nearest[n] = max(nearest[n], jaccard(sets[n], sets[farthest]))
    return [outputs[n] for n in sorted(sample)]
