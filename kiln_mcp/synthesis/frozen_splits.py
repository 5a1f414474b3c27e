"""Freeze which items are in which part, as a record that fine-tunes can name for good."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
from pydantic import Field, JsonValue

from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.parts import part_tags, split_sizes, tag_of
from kiln_mcp.datasets.summaries import ItemSummary
from kiln_mcp.projects.project_references import handle_of
from kiln_mcp.synthesis.leak_report import LeakReport, leak_report
from kiln_mcp.workbench.capability import Result
from storage import DatasetSplit, ProjectStore, SplitDefinition, Task
from storage.errors import NextStep, Refusal


class FrozenPart(Result):
    """One part of a frozen split."""

    part: str
    items: int


class SplitFrozen(Result):
    """A split, frozen: later changes of tags do not change it."""

    frozen_split: str
    id: str
    handle: str = Field(description="What names it in calls, such as `dataset-split/july`.")
    parts: list[FrozenPart]
    is_clean: bool = Field(description="Whether several parts share no duplicate, form or origin.")
    leaks: list[str] = Field(description="What they share, the worst first.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


@dataclass(frozen=True, slots=True)
class Freeze:
    """A request to freeze a split.

    Attributes:
        name: What to call the frozen split.
        split: The split that was dealt.
        filter_id: Which of its items.
        embeddings: The folder of the user's embedding model; None to compare letters alone.
    """

    name: str
    split: str
    filter_id: str
    embeddings: Path | None = None


def is_dealt(items: Sequence[ItemSummary], split: str) -> bool:
    """Return whether any run has a part in a split."""
    return any(_contents(items, split).values())


def check_can_freeze(items: Sequence[ItemSummary], name: str) -> None:
    """Check that a split of items can be frozen, before it is dealt.

    Raises:
        Refusal: All of them are inputs alone, which Kiln's record of a split cannot name.
    """
    if items and not any(item.is_run for item in items):
        raise Refusal(
            "The split was neither dealt nor frozen as '{name}': its {count} items are inputs "
            "without outputs, and a frozen split holds items with outputs alone. Leave `freeze` "
            "out to deal the inputs, or add items with outputs.",
            name=name,
            count=len(items),
            next=[
                NextStep(tool="split_data", reason="deal the inputs without freezing"),
                NextStep(tool="add_data", reason="add items with outputs"),
            ],
        )


async def freeze_parts(
    store: ProjectStore, task: Task, items: Sequence[ItemSummary], request: Freeze
) -> SplitFrozen:
    """Save the parts of a split as a record; the same parts under the same name are one record.

    Raises:
        Refusal: No item is dealt into it, or its name stands for other parts.
    """
    contents = {part: ids for part, ids in _contents(items, request.split).items() if ids}
    total = sum(map(len, contents.values()))
    if not total:
        tags = Counter(tag for item in items for tag in item.tags)
        raise Refusal(
            "No item is dealt into the split '{split}'. Splits that are dealt: {names}.",
            split=request.split,
            names=sorted(split_sizes(tags)) or ["none yet"],
            next=[NextStep(tool="split_data", reason="deal the items first")],
        )
    earlier = await _frozen_before(store, task, request.name, contents)
    record = earlier or DatasetSplit(
        name=request.name,
        splits=tuple(
            SplitDefinition(name=part, percentage=len(ids) / total)
            for part, ids in contents.items()
        ),
        split_contents=contents,
        filter=request.filter_id,
    )
    part_of = {name: part for part, ids in contents.items() for name in ids}
    frozen_items = [item for item in items if item.id in part_of]
    frozen_parts = [part_of[item.id] for item in frozen_items]
    leaks = await anyio.to_thread.run_sync(_leaks_of, frozen_items, frozen_parts, request)
    saved = earlier or await store.save(record, parent=task)
    arguments: dict[str, JsonValue] = {"project": str(store.folder), "kind": "training_data"}
    return SplitFrozen(
        frozen_split=saved.name,
        id=saved.id,
        handle=await handle_of(store, saved),
        parts=[FrozenPart(part=part, items=len(ids)) for part, ids in contents.items()],
        is_clean=leaks.is_clean,
        leaks=leaks.sentences,
        next=[
            NextStep(
                tool="export",
                reason="write it for a fine-tuning service or library",
                arguments={**arguments, "split": saved.name},
            ),
            NextStep(
                tool="train_model",
                reason="or train a model on it: look first with only_check",
                arguments={"project": str(store.folder), "split": saved.name},
            ),
        ],
    )


async def _frozen_before(
    store: ProjectStore, task: Task, name: str, contents: Mapping[str, tuple[str, ...]]
) -> DatasetSplit | None:
    """Return the frozen split of a name, if it has the same parts; None if there is none.

    Raises:
        Refusal: It has other parts.
    """
    records = await store.children(task, DatasetSplit)
    same_name = [record for record in records if record.name.casefold() == name.casefold()]
    for record in same_name:
        if {k: set(v) for k, v in record.split_contents.items()} == {
            part: set(ids) for part, ids in contents.items()
        }:
            return record
    if not same_name:
        return None
    raise Refusal(
        "Nothing was frozen: '{name}' is a frozen split with other items, and it never changes. "
        "Choose another name.",
        name=same_name[0].name,
        next=[NextStep(tool="split_data", reason="freeze it under another name")],
    )


def _leaks_of(items: Sequence[ItemSummary], parts: Sequence[str], request: Freeze) -> LeakReport:
    texts = [item.text for item in items]
    return leak_report(items, parts, NearDuplicates(texts, embeddings=request.embeddings))


def _contents(items: Sequence[ItemSummary], split: str) -> dict[str, tuple[str, ...]]:
    """Return the ids of the runs in each part of a split; Kiln's record holds no inputs alone."""
    runs = [item for item in items if item.is_run]
    tags = part_tags(tag_of(split))
    return {part: tuple(run.id for run in runs if tag in run.tags) for part, tag in tags.items()}
