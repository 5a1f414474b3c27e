"""The data report: what a task's dataset is made of, as a side file in open JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.datasets.classes import classes_of
from kiln_mcp.datasets.diversity import diversity
from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.summaries import ItemSummary, summary_of
from kiln_mcp.synthesis.answers import DifficultyRow
from kiln_mcp.synthesis.difficulties import difficulty_rows
from kiln_mcp.synthesis.leak_report import LeakReport
from storage import Change, Task, TaskRun

FILE: Final = "kiln_mcp_data_report.json"
"""Beside the task's own file."""
MADE: Final = "synthetic"
"""The source of inputs that a model made."""

Coverage = dict[str, dict[str, dict[str, int]]]
"""Items by clause, outcome and topic; "" for items without one."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class SplitRecord(_Part):
    """How a split was dealt, so that it can be dealt again.

    Attributes:
        name: The tags' ending: `train_<name>` …
        seed: The seed of the deal.
        shares: Share of each part.
        sizes: Items of each part.
        groups: Groups of items that stayed together.
        largest_group: Items in the largest of them.
    """

    name: str
    seed: int
    shares: dict[str, int]
    sizes: dict[str, int]
    groups: int
    largest_group: int


class CostRecord(_Part):
    """What made items cost.

    Attributes:
        items: Items with a made input.
        priced_items: Those whose output has a cost.
        usd: The sum of these costs, in US dollars.
        plan_items: Items of plans whose calls are known.
        plan_calls: All calls for these plans.
        plan_usd: What they cost; None if a price is not known.
    """

    items: int
    priced_items: int
    usd: float
    plan_items: int = 0
    plan_calls: int = 0
    plan_usd: float | None = None


class RealismRecord(_Part):
    """How much made inputs are like real ones; see `realism.Realism`.

    Attributes:
        real_items: Real inputs that say different things.
        made_items: Made ones that do.
        accuracy: How often a classifier tells them apart, 0.5 if it guesses; None if too few.
        low: The lower end of the interval of 95 %.
        high: The upper end.
        p_value: The probability of such an accuracy if both were alike.
        reason: Why the accuracy cannot be told; "" if it can.
        phrases: What made inputs say more often.
        real_words: The median number of words of a real input.
        made_words: The same of a made one.
    """

    real_items: int
    made_items: int
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    reason: str = ""
    phrases: list[str] = []
    real_words: float = 0.0
    made_words: float = 0.0


class DataReport(_Part):
    """What a task's dataset is made of.

    Attributes:
        items: Runs in the dataset; runs that evals made do not count.
        exact_duplicates: Items whose input another item has too, the first not counted.
        near_duplicates: Items whose input says what that of an item before them says, also by way
            of others: 0.67 alike in their letter triples, with the same numbers.
        distinct_words: Different words over all words of the inputs.
        distinct_pairs: Different word pairs over all word pairs of the inputs.
        nearest_similarity: Mean similarity of an input to its nearest other input.
        vendi_score: As many inputs that share nothing are as varied as the drawn ones.
        vendi_texts: The inputs that are drawn for it.
        topics: Items by topic, "" for items without one.
        sources: Items by where their input came from.
        tags: Items by tag.
        classes: Items by class, if their outputs are classes.
        coverage: Items by clause, outcome and topic.
        difficulties: How hard edited outputs are to judge, by clause and outcome.
        costs: What made items cost.
        realism: How much made inputs are like real ones; None if nobody asked for it.
        leaks: What the parts of each split share; of splits that were looked at.
        splits: How each split was dealt, every deal, the latest last: items that came later may
            have been dealt with another seed.
    """

    v: int = 1
    items: int
    exact_duplicates: int
    near_duplicates: int
    distinct_words: float = 1.0
    distinct_pairs: float
    nearest_similarity: float
    vendi_score: float = 0.0
    vendi_texts: int = 0
    topics: dict[str, int]
    sources: dict[str, int]
    tags: dict[str, int]
    classes: dict[str, int] = Field(default_factory=dict[str, int])
    coverage: Coverage = Field(default_factory=dict[str, dict[str, dict[str, int]]])
    difficulties: list[DifficultyRow] = Field(default_factory=list[DifficultyRow])
    costs: CostRecord | None = None
    realism: RealismRecord | None = None
    leaks: dict[str, LeakReport] = Field(default_factory=dict[str, LeakReport])
    splits: list[SplitRecord] = Field(default_factory=list[SplitRecord])


def report_on(items: Sequence[ItemSummary], near_duplicates: NearDuplicates) -> DataReport:
    """Measure a dataset.

    Args:
        items: The runs of the dataset.
        near_duplicates: How their texts are compared: those among these or other texts.
    """
    inputs = [item.text for item in items]
    near_duplicates = near_duplicates.among(inputs)
    variety = diversity(near_duplicates.vectors)
    return DataReport(
        items=len(items),
        exact_duplicates=len(inputs) - len(set(inputs)),
        near_duplicates=near_duplicates.duplicate_count,
        distinct_words=variety.distinct_words,
        distinct_pairs=variety.distinct_pairs,
        nearest_similarity=variety.nearest_similarity,
        vendi_score=variety.vendi_score,
        vendi_texts=variety.vendi_texts,
        topics=_count_values([item.topic or "" for item in items]),
        sources=_count_values([item.source for item in items]),
        tags=_count_values([tag for item in items for tag in item.tags]),
        classes=_count_values(
            [name for name in classes_of([item.lineage.label for item in items]) if name]
        ),
        coverage=_coverage(items),
        difficulties=difficulty_rows(items),
        costs=_costs(items),
    )


def _coverage(items: Sequence[ItemSummary]) -> Coverage:
    counts = Counter(
        (item.lineage.clause, item.lineage.outcome, item.topic or "") for item in items
    )
    coverage: Coverage = {}
    for (clause, outcome, topic), count in sorted(counts.items()):
        coverage.setdefault(clause, {}).setdefault(outcome, {})[topic] = count
    return coverage


def _costs(items: Sequence[ItemSummary]) -> CostRecord | None:
    """Return what made items cost; None if there are none."""
    costs = [item.lineage.cost for item in items if item.source == MADE]
    prices = [cost for cost in costs if cost is not None]
    if not costs:
        return None
    return CostRecord(items=len(costs), priced_items=len(prices), usd=round(sum(prices), 6))


async def write_report(change: Change, task: Task, runs: Sequence[TaskRun]) -> DataReport:
    """Measure a task's dataset and note the report to be written beside the task.

    Texts are compared by letters alone, so that no embedding model keeps items from being saved.

    Args:
        change: What the report is written with.
        task: The task.
        runs: Its dataset, as it will be.

    Returns:
        The report, without the splits that were dealt before.
    """
    report = await anyio.to_thread.run_sync(_report_by_letters, [*map(summary_of, runs)])
    note_report(change, task, report)
    return report


def _report_by_letters(items: Sequence[ItemSummary]) -> DataReport:
    return report_on(items, NearDuplicates([item.text for item in items]))


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
        splits = [split for split in split_records(previous) if split != new_split]
        full_report = report.model_copy(
            update={"splits": [*splits, *([new_split] if new_split else [])]}
        )
        return f"{full_report.model_dump_json(indent=2)}\n".encode()

    change.write_side_file(task, FILE, content)


def split_records(content: bytes | None) -> list[SplitRecord]:
    """Return the splits of an earlier report; none if it cannot be read."""
    try:
        return DataReport.model_validate_json(content or b"").splits
    except ValidationError:
        return []


def _count_values(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
