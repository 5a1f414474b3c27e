"""The data report: what a task's dataset is made of, as a side file in open JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.datasets.diversity import diversity
from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.summaries import ItemSummary, summary_of
from storage import Change, Task, TaskRun

FILE: Final = "kiln_mcp_data_report.json"
"""Beside the task's own file."""


class SplitRecord(BaseModel):
    """How a split was dealt, so that it can be dealt again.

    Attributes:
        name: The tags' ending: `train_<name>` …
        seed: The seed of the deal.
        shares: Share of each part.
        sizes: Items of each part.
        groups: Groups of items that stayed together.
        largest_group: Items in the largest of them.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    seed: int
    shares: dict[str, int]
    sizes: dict[str, int]
    groups: int
    largest_group: int


class DataReport(BaseModel):
    """What a task's dataset is made of.

    Attributes:
        items: Runs in the dataset; runs that evals made do not count.
        exact_duplicates: Items whose input another item has too, the first not counted.
        near_duplicates: Items whose input says what that of an item before them says, also by way
            of others: 0.67 alike in their letter triples, with the same numbers.
        distinct_pairs: Different word pairs over all word pairs of the inputs.
        nearest_similarity: Mean similarity of an input to its nearest other input.
        topics: Items by topic, "" for items without one.
        sources: Items by where their input came from.
        tags: Items by tag.
        splits: How each split was dealt, every deal, the latest last: items that came later may
            have been dealt with another seed.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    v: int = 1
    items: int
    exact_duplicates: int
    near_duplicates: int
    distinct_pairs: float
    nearest_similarity: float
    topics: dict[str, int]
    sources: dict[str, int]
    tags: dict[str, int]
    splits: list[SplitRecord] = Field(default_factory=list[SplitRecord])


def report_on(
    items: Sequence[ItemSummary], near_duplicates: NearDuplicates | None = None
) -> DataReport:
    """Measure a dataset.

    Args:
        items: The runs of the dataset.
        near_duplicates: Their texts; None if these are to be read.
    """
    inputs = [item.text for item in items]
    near_duplicates = near_duplicates or NearDuplicates(inputs)
    variety = diversity(near_duplicates.vectors)
    return DataReport(
        items=len(items),
        exact_duplicates=len(inputs) - len(set(inputs)),
        near_duplicates=near_duplicates.duplicate_count,
        distinct_pairs=variety.distinct_pairs,
        nearest_similarity=variety.nearest_similarity,
        topics=_count_values([item.topic or "" for item in items]),
        sources=_count_values([item.source for item in items]),
        tags=_count_values([tag for item in items for tag in item.tags]),
    )


async def write_report(change: Change, task: Task, runs: Sequence[TaskRun]) -> DataReport:
    """Measure a task's dataset and note the report to be written beside the task.

    Args:
        change: What the report is written with.
        task: The task.
        runs: Its dataset, as it will be.

    Returns:
        The report, without the splits that were dealt before.
    """
    report = await anyio.to_thread.run_sync(report_on, [*map(summary_of, runs)])
    note_report(change, task, report)
    return report


def note_report(
    change: Change, task: Task, report: DataReport, new_split: SplitRecord | None = None
) -> None:
    """Note a report to be written beside its task.

    Args:
        change: What the report is written with.
        task: The task.
        report: The report.
        new_split: The split that is dealt in the same change.
    """

    def content(previous: bytes | None) -> bytes:
        splits = [split for split in _splits(previous) if split != new_split]
        full_report = report.model_copy(
            update={"splits": [*splits, *([new_split] if new_split else [])]}
        )
        return f"{full_report.model_dump_json(indent=2)}\n".encode()

    change.write_side_file(task, FILE, content)


def _splits(content: bytes | None) -> list[SplitRecord]:
    """Return the splits of an earlier report; none if it cannot be read."""
    try:
        return DataReport.model_validate_json(content or b"").splits
    except ValidationError:
        return []


def _count_values(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
