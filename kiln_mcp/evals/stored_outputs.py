"""Stored outputs that are judged as they are: runs, traces, imported answers.

No run config is needed. A conversation counts once, with its last turn. Outputs that evals made
belong to their run configs, and answers that are not complete are counted beside the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, get_args

from kiln_mcp.datasets.parts import tag_filter
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.projects.runs.pages import Source
from storage import ProjectStore, Task, TaskRunConfig
from storage.errors import InvalidValue, NextStep, RecordNotFound
from storage.format.filters import is_filter
from storage.index.queries import RunQuery
from storage.index.results import RecordRow, items
from storage.records.handles import choose

EVERY: Final = "all"
MODEL_PREFIX: Final = "model::"
SOURCES: Final[tuple[str, ...]] = get_args(Source)
MODEL_SOURCE: Final = "synthetic"
"""The source of what a model answered."""
PRODUCTION: Final = "production"
"""The tag of imported traces."""


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """Stored outputs that a call names.

    Attributes:
        name: How the call names them.
        runs: The runs that hold them, the oldest first, or those of a random sample.
        total: How many there are that can be judged.
        incomplete: Answers that are cut off, refused or empty: they have no score.
        right_answers: Those that people or files gave, so that no feature made them.
    """

    name: str
    runs: Sequence[RecordRow]
    total: int
    incomplete: int = 0
    right_answers: int = 0

    @property
    def is_sample(self) -> bool:
        """Whether these are some of them, chosen at random."""
        return len(self.runs) < self.total


async def outputs_of_config(store: ProjectStore, task: Task, name: str) -> list[RecordRow] | None:
    """Return the outputs that a run config made, also those that evals asked it for.

    None if no run config has the name.
    """
    configs = await store.children(task, TaskRunConfig)
    try:
        config = choose(TaskRunConfig, configs, name)
    except RecordNotFound:
        return None
    query, path = RunQuery(run_config_id=config.id, is_complete=True), task.saved.path
    return await store.ask(lambda index: items(index, path, query))


async def select_outputs(
    store: ProjectStore, task: Task, name: str, limit: int | None = None, seed: int = 0
) -> StoredOutputs:
    """Return the stored outputs of a task that a call names.

    Args:
        store: The project.
        task: The task.
        name: A filter, a source, a tag, a run config, or `model::` with a model's name.
        limit: The size of a random sample; None for all. A larger one of the same seed holds it.
        seed: Of the sample.

    Raises:
        InvalidValue: Nothing has this name.
        NothingToEvaluate: There is no such output.
    """
    query = await _query_of(store, task, name.strip())
    path = task.saved.path
    runs = await store.ask(lambda index: items(index, path, query))
    incomplete = await store.count_runs(task, replace(query, is_complete=False)) - len(runs)
    if not runs:
        raise _no_output(name, incomplete)
    right_answers = 0
    if query.source is None:
        counts = [
            await store.count_runs(task, replace(query, source=source))
            for source in ("human", "file_import")
        ]
        right_answers = sum(counts)
    sample = runs if limit is None or limit >= len(runs) else _sample(runs, limit, seed)
    return StoredOutputs(name.strip(), sample, len(runs), incomplete, right_answers)


def _sample(runs: Sequence[RecordRow], limit: int, seed: int) -> list[RecordRow]:
    """Return a random sample; samples of one seed lie within each other."""

    def place(run: RecordRow) -> bytes:
        return blake2b(f"{seed} {run.id}".encode(), digest_size=8).digest()

    return sorted(runs, key=place)[:limit]


async def _query_of(store: ProjectStore, task: Task, name: str) -> RunQuery:
    usual = RunQuery(is_from_eval=False, is_complete=True, is_last_turn=True)
    if is_filter(name):
        return replace(usual, filter_id=name)
    if name in SOURCES:
        return replace(usual, source=name)
    if name.startswith(MODEL_PREFIX):
        return replace(usual, model=name.removeprefix(MODEL_PREFIX))
    if name in await store.tags(task):
        return replace(usual, filter_id=tag_filter(name))
    configs = await store.children(task, TaskRunConfig)
    try:
        return replace(usual, run_config_id=choose(TaskRunConfig, configs, name).id)
    except RecordNotFound:
        raise InvalidValue(
            "No stored outputs are called '{name}'. Give a filter (all, high_rating, tag::<tag>), "
            "a source ({sources}), {prefix}<model>, or a run config.",
            name=name,
            sources=", ".join(SOURCES),
            prefix=MODEL_PREFIX,
            next=[NextStep(tool="find", reason="see the runs and their tags")],
        ) from None


def _no_output(name: str, incomplete: int) -> NothingToEvaluate:
    remainder = f" {incomplete} are cut off, refused or empty." if incomplete else ""
    return NothingToEvaluate(
        f"No stored output to judge fits {name!r}.{remainder}",
        next=[
            NextStep(tool="add_data", reason="import outputs or traces of your feature"),
            NextStep(tool="find", reason="see the runs and their tags"),
        ],
    )


async def outputs_to_begin_with(store: ProjectStore, task: Task) -> str | None:
    """Return the stored outputs of a feature to begin with; None if no model made one.

    They are those of production, if there are any.
    """
    if PRODUCTION in await store.tags(task):
        return tag_filter(PRODUCTION)
    by_models = await store.count_runs(task, RunQuery(source=MODEL_SOURCE, is_from_eval=False))
    if not by_models:
        return None
    is_all = by_models == await store.count_runs(task, RunQuery(is_from_eval=False))
    return EVERY if is_all else MODEL_SOURCE
