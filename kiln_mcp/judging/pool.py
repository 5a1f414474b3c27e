"""Add outputs of the task to golden sets, so that people can label them."""

import random
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from kiln_mcp.datasets.parts import tag_filter
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.stored_outputs import PRODUCTION, outputs_of_config, select_outputs
from kiln_mcp.labels.labelling_pass import LabellingPass
from storage import Eval, ProjectStore, Task, TaskRun, TaskRunSplit
from storage.bulk_changes import amend_all
from storage.errors import NextStep, Refusal
from storage.format.filters import NamedFilter, TagFilter, is_filter, parse_filter
from storage.index.queries import RunQuery
from storage.index.results import RecordRow, items

MOST_ADDED: Final = 1000
"""Outputs that are added for a certificate, which is about all of the golden set."""
_TAGS_OF_LEARNING: Final = re.compile(r"(train|val)_.+")
"""The tags of parts of splits that prompts are made of and chosen by."""


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """Which outputs are added, and how many.

    Attributes:
        outputs: How a person names them, as run_eval takes it; None for the usual ones.
        count: How many at most.
        seed: Repeats the random choice over the same outputs.
    """

    outputs: str | None
    count: int
    seed: int


async def extend_golden_sets(
    store: ProjectStore, labelling: LabellingPass, request: PoolRequest
) -> int:
    """Give outputs of the task the golden tag of each eval; return how many got one.

    A golden set of all outputs has them already.

    Raises:
        InvalidValue: No outputs have this name.
        Refusal: The golden set of an eval is found by no tag.
    """
    rows = await outputs_to_add(store, labelling, request)
    tags = _golden_tags(labelling) if rows else []
    if not tags:
        return 0
    await _add_tags(store, [row.path for row in rows], tags)
    return len(rows)


async def outputs_to_add(
    store: ProjectStore, labelling: LabellingPass, request: PoolRequest
) -> list[RecordRow]:
    """Return the outputs that a request adds: the same ones until they are added.

    Left out are outputs that prompts are made of or chosen by, and incomplete ones.

    Raises:
        InvalidValue: No outputs have this name.
    """
    candidates = await _candidates(store, labelling, request.outputs)
    draw = random.Random(request.seed)
    return draw.sample(candidates, min(request.count, len(candidates)))


async def share_items(store: ProjectStore, labelling: LabellingPass, drawn: Sequence[str]) -> int:
    """Add drawn items to the golden sets of the other evals; return how many were added."""
    missing = [
        labelling.runs[item].path
        for item in drawn
        if any(item not in golden_set.ids for golden_set in labelling.golden_sets)
    ]
    if missing:
        await _add_tags(store, missing, _golden_tags(labelling))
    return len(missing)


async def _add_tags(store: ProjectStore, paths: Sequence[str], tags: Sequence[str]) -> None:
    def add_tags(run: TaskRun) -> TaskRun:
        return run.replace(tags=tuple(dict.fromkeys([*run.tags, *tags])))

    async with aclosing(amend_all(store, TaskRun, paths, add_tags)) as batches:
        async for _ in batches:
            pass


async def _candidates(
    store: ProjectStore, labelling: LabellingPass, name: str | None
) -> list[RecordRow]:
    """Return the outputs that may be added, the oldest first.

    Without a name these are the outputs of production, or those that models wrote.

    Raises:
        InvalidValue: No outputs have this name.
    """
    task = labelling.task
    tags = await store.tags(task)
    usual_name = tag_filter(PRODUCTION) if PRODUCTION in tags else "synthetic"
    rows = await outputs_of_config(store, task, name) if name and name not in tags else None
    if rows is None:
        try:
            rows = (await select_outputs(store, task, name or usual_name)).runs
        except NothingToEvaluate:
            return []
    learnt = await _learnt_items(store, task)
    return [row for row in rows if row.id not in labelling.runs and row.id not in learnt]


async def _learnt_items(store: ProjectStore, task: Task) -> frozenset[str]:
    """Return the items that prompts are made of, or chosen by."""
    filters = {
        part.filter_id
        for record in await store.children(task, Eval)
        for name in ("train", "val")
        if isinstance(part := record.part(name), TaskRunSplit) and is_filter(part.filter_id)
    }
    filters |= {
        tag_filter(tag) for tag in await store.tags(task) if _TAGS_OF_LEARNING.fullmatch(tag)
    }
    path, ids = task.saved.path, set[str]()
    for filter_id in filters:
        query = RunQuery(filter_id, is_from_eval=False)
        rows = await store.ask(lambda index, query=query: items(index, path, query))
        ids |= {row.id for row in rows}
    return frozenset(ids)


def _golden_tags(labelling: LabellingPass) -> list[str]:
    """Return the tags of the golden sets; one of all outputs needs none."""
    places = range(len(labelling.golden_sets))
    return [tag for place in places if (tag := _golden_tag(labelling, place)) is not None]


def _golden_tag(labelling: LabellingPass, place: int) -> str | None:
    task_eval = labelling.golden_sets[place].task_eval
    filter_id = task_eval.eval_record.eval_configs_filter_id or ""
    golden_filter = parse_filter(filter_id) if is_filter(filter_id) else None
    if isinstance(golden_filter, TagFilter):
        return golden_filter.tag
    if golden_filter == NamedFilter("all"):
        return None
    raise Refusal(
        "No output can be added to the golden set of '{name}': it is found by '{filter}', and not "
        "by a tag. Add outputs that this filter finds, or create an eval whose golden filter is a "
        "tag.",
        name=task_eval.name,
        filter=filter_id,
        next=[NextStep(tool="add_data", reason="add outputs")],
    )
