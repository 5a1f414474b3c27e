"""Complete the deal of a split: items keep their parts, and items like them follow."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import anyio.to_thread

from kiln_mcp.datasets.classes import classes_of
from kiln_mcp.datasets.clusters import cluster_names
from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.origins import TOPIC, origin_columns, with_conversations
from kiln_mcp.datasets.parts import SHARES, part_tags
from kiln_mcp.datasets.sample_sizes import SMALL_GOLDEN_PART, SMALL_TEST_PART
from kiln_mcp.datasets.splits import deal
from kiln_mcp.datasets.summaries import ItemSummary, summary_of, summary_of_input
from kiln_mcp.synthesis.leak_report import LeakReport, leak_report, missing_classes
from kiln_mcp.synthesis.report import DataReport, SplitRecord, note_report, report_on
from storage import Change, EvalInput, ProjectStore, Task, TaskRun, task_run_filter
from storage.bulk_changes import BATCH, change_in_turn
from storage.errors import NextStep, Refusal
from storage.format.filters import input_tag, is_input_filter

Batch = Sequence[tuple[ItemSummary, str | None]]
"""Items with their parts, of one transaction; None takes an item out of its part."""
KeepTogether = Literal["topics", "near_duplicates", "forms"]
"""What never straddles two parts: topics, nothing more, or topics and texts of the same form."""


@dataclass(frozen=True, slots=True)
class DealRequest:
    """How items are to be dealt.

    Attributes:
        name: The split's name, as people call it.
        ending: The ending of its tags.
        shares: The share of each part.
        seed: Repeats the deal.
        keep_together: What stays together besides near-duplicates, and items made from one.
        is_new: Whether items that the split has dealt already are dealt again.
        embeddings: The folder of the user's embedding model; None to compare letters alone.
    """

    name: str
    ending: str
    shares: dict[str, int]
    seed: int
    keep_together: KeepTogether
    is_new: bool
    embeddings: Path | None = None


@dataclass(frozen=True, slots=True)
class Deal:
    """The part of each item of a split.

    Attributes:
        record: How it was dealt.
        parts: The part of each item, in the order of the items.
        groups: The group that each item stays together with.
        near_duplicates: The items' texts.
        leaks: What the parts have in common.
        dealt_now: Items that had no part before.
    """

    record: SplitRecord
    parts: Sequence[str]
    groups: Sequence[str]
    near_duplicates: NearDuplicates
    leaks: LeakReport
    dealt_now: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset, of which some items are dealt.

    Attributes:
        runs: All of its runs.
        items: The items to be dealt: runs, and inputs alone.
    """

    runs: Sequence[ItemSummary]
    items: Sequence[ItemSummary]


async def open_dataset(store: ProjectStore, task: Task, filter_id: str) -> Dataset:
    """Return a dataset with the items of a filter.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    fits = task_run_filter(filter_id)
    own_paths: set[str] = set()

    def view(run: TaskRun) -> ItemSummary:
        if fits(run):
            own_paths.add(run.saved.path)
        return summary_of(run)

    views = await store.views(task, TaskRun, view)
    runs = with_conversations(data_set(views), views)
    items = [run for run in runs if run.path in own_paths]
    if is_input_filter(filter_id):  # others ask for a rating or a thought
        tag = input_tag(filter_id)
        inputs = await store.views(task, EvalInput, summary_of_input)
        items += [item for item in inputs if tag is None or tag in item.tags]
    return Dataset(runs, items)


async def deal_items(items: Sequence[ItemSummary], request: DealRequest) -> Deal:
    """Deal items into parts; nothing is saved yet.

    Raises:
        Refusal: There is nothing to deal.
    """
    tags = part_tags(request.ending)
    previous = [None if request.is_new else part_of(item, tags) for item in items]
    dealt_now = previous.count(None)
    if not dealt_now:
        raise nothing_to_deal(request.name, len(items))
    deal = await anyio.to_thread.run_sync(_deal, items, previous, request)
    return replace(deal, dealt_now=dealt_now)


def _deal(
    items: Sequence[ItemSummary], previous: Sequence[str | None], request: DealRequest
) -> Deal:
    texts = [item.text for item in items]
    near_duplicates = NearDuplicates(texts, embeddings=request.embeddings)
    columns = origin_columns(items)
    groups = _groups(near_duplicates, columns, request.keep_together)
    classes = classes_of([item.lineage.label for item in items])
    strata = [
        f"{item.lineage.outcome}\0{own_class}"
        for item, own_class in zip(items, classes, strict=True)
    ]
    parts = complete_deal(groups, previous, request, strata)
    sizes = Counter(parts)
    record = SplitRecord(
        name=request.ending,
        seed=request.seed,
        shares=request.shares,
        sizes={part: sizes[part] for part in SHARES if sizes[part]},
        groups=len(set(groups)),
        largest_group=max(Counter(groups).values()),
    )
    leaks = leak_report(items, parts, near_duplicates)
    return Deal(record, parts, groups, near_duplicates, leaks, 0)


def _groups(
    near_duplicates: NearDuplicates,
    columns: Mapping[str, Sequence[str | None]],
    keep_together: KeepTogether,
) -> tuple[str, ...]:
    """Return the group of each item that stays together."""
    own = [
        column
        for name, column in columns.items()
        if name != TOPIC or keep_together != "near_duplicates"
    ]
    if keep_together == "forms":
        own.append([str(group) for group in near_duplicates.forms.groups.tolist()])
    return cluster_names(near_duplicates, *own)


async def save_deal(store: ProjectStore, task: Task, dataset: Dataset, deal: Deal) -> None:
    """Save the parts of a deal as tags, and the data report with the last ones.

    Args:
        store: The open project.
        task: The task of the dataset.
        dataset: The dataset, with the items that were dealt.
        deal: Their parts.
    """
    tags = part_tags(deal.record.name)
    report = await anyio.to_thread.run_sync(_report_as_dealt, dataset, deal, tags)
    assignments = zip(dataset.items, deal.parts, deal.groups, strict=True)
    batches = deal_batches(assignments, tags)

    def assign(change: Change, place: int) -> None:
        assign_parts(change, batches[place], tags)
        if place == len(batches) - 1:
            note_report(change, task, report, deal.record)

    steps = [partial(assign, place=place) for place in range(len(batches))]
    async with aclosing(change_in_turn(store, steps)) as changes:
        async for _ in changes:
            pass


def _report_as_dealt(dataset: Dataset, deal: Deal, tags: Mapping[str, str]) -> DataReport:
    """Measure a dataset as it will be when a deal is saved."""
    parts = {item.path: part for item, part in zip(dataset.items, deal.parts, strict=True)}
    runs = [
        replace(run, tags=with_part_tag(run.tags, parts[run.path], tags))
        if run.path in parts
        else run
        for run in dataset.runs
    ]
    report = report_on(runs, deal.near_duplicates)
    return report.model_copy(update={"leaks": {deal.record.name: deal.leaks}})


def deal_step(project: str) -> NextStep:
    """Return the call that deals a project's new items."""
    return NextStep(
        tool="split_data",
        reason="deal the items into train, val, test and golden",
        arguments={"project": project},
    )


def nothing_to_deal(name: str, dealt_count: int) -> Refusal:
    """Return the refusal of a split that has no item to deal."""
    if dealt_count:
        return Refusal(
            "There is no item to deal into the split '{name}': all {count} are dealt already; "
            "redeal=true deals all of them again.",
            name=name,
            count=dealt_count,
        )
    return Refusal(
        "There is no item to deal into the split '{name}': the dataset is empty, or no item fits "
        "`items`.",
        name=name,
        next=[
            NextStep(tool="add_data", reason="add your own items"),
            NextStep(tool="generate_data", reason="let a model make some"),
        ],
    )


def assignment_batches(
    assignments: Iterable[tuple[ItemSummary, str, str]], tags: Mapping[str, str]
) -> list[Batch]:
    """Return the items whose tags change with their parts, for transactions of about a thousand.

    A group is in one transaction if it has no more than that. So a process that is killed leaves
    no group in two parts. What comes of no change at all is one empty batch.

    Args:
        assignments: Each item, its part and its group.
        tags: The tag of each part.
    """
    by_group: dict[str, list[tuple[ItemSummary, str | None]]] = defaultdict(list)
    for item, part, group in assignments:
        if with_part_tag(item.tags, part, tags) != item.tags:
            by_group[group].append((item, part))
    batches: list[list[tuple[ItemSummary, str | None]]] = [[]]
    for members in by_group.values():
        for begin in range(0, len(members), BATCH):
            some = members[begin : begin + BATCH]
            if batches[-1] and len(batches[-1]) + len(some) > BATCH:
                batches.append([])
            batches[-1] += some
    return list(batches)


def deal_batches(
    assignments: Iterable[tuple[ItemSummary, str, str]], tags: Mapping[str, str]
) -> list[Batch]:
    """Return the changes of a deal, a transaction each; the last one may be empty.

    If there are several, items of an earlier deal are taken out of their parts before the first
    one gets a new part. So a process that is killed leaves items without a part, which the next
    deal completes, and never parts of two deals.
    """
    batches = assignment_batches(assignments, tags)
    if len(batches) == 1:
        return batches
    removals = [[(item, None) for item, _ in batch if part_of(item, tags)] for batch in batches]
    return [*filter(None, removals), *batches]


def assign_parts(change: Change, assignments: Batch, tags: Mapping[str, str]) -> None:
    """Note the tags of items' parts. Blocks: call it in a thread."""
    for item, part in assignments:
        change_tags = partial(with_part_tag, part=part, part_tags=tags)
        if item.is_run:
            change.retag(TaskRun, item.path, change_tags, item.revision)
        else:
            change.retag(EvalInput, item.path, change_tags, item.revision)


def with_part_tag(
    tags: tuple[str, ...], part: str | None, part_tags: Mapping[str, str]
) -> tuple[str, ...]:
    """Return tags with that of one part of a split and of no other; None for no part."""
    other_tags = tuple(tag for tag in tags if tag not in part_tags.values())
    if part is None:
        return other_tags
    is_dealt = part_tags[part] in tags and len(other_tags) + 1 == len(tags)
    return tags if is_dealt else (*other_tags, part_tags[part])


def part_of(item: ItemSummary, tags: Mapping[str, str]) -> str | None:
    """Return the part of a split that an item is in, None if it is in none."""
    return next((part for part, tag in tags.items() if tag in item.tags), None)


def complete_deal(
    groups: Sequence[str],
    previous: Sequence[str | None],
    request: DealRequest,
    strata: Sequence[str],
) -> list[str]:
    """Return the part of every item: as before, as its group's, or newly dealt."""
    home = {group: part for group, part in zip(groups, previous, strict=True) if part is not None}
    loose = [place for place, group in enumerate(groups) if group not in home]
    names = [groups[place] for place in loose]
    own_strata = [strata[place] for place in loose]
    new_parts = dict(zip(names, deal(names, request.shares, request.seed, own_strata), strict=True))
    return [
        part or home.get(group) or new_parts[group]
        for group, part in zip(groups, previous, strict=True)
    ]


def shares_for(shares: dict[str, int], items: Sequence[ItemSummary]) -> dict[str, int]:
    """Return the usual shares for some items: inputs alone have no output for people to label."""
    if any(item.is_run for item in items):
        return shares
    return {part: share for part, share in shares.items() if part != "golden"}


def _amount(count: int) -> str:
    return f"Only {count}" if count else "No"


def deal_warnings(deal: Deal, items: Sequence[ItemSummary], shares: dict[str, int]) -> list[str]:
    """Return what is weak about a deal: small parts, large groups, two kinds of items."""
    warnings: list[str] = []
    record, sizes = deal.record, deal.record.sizes
    if "test" in shares and sizes.get("test", 0) < SMALL_TEST_PART:
        warnings.append(
            f"{_amount(sizes.get('test', 0))} test items: differences below 0.3 will hardly show."
        )
    if "golden" in shares and sizes.get("golden", 0) < SMALL_GOLDEN_PART:
        warnings.append(
            f"{_amount(sizes.get('golden', 0))} golden items: a judge's agreement is uncertain."
        )
    if record.largest_group * 4 > sum(sizes.values()):
        warnings.append(
            f"{record.largest_group} items are alike or of one topic and had to stay together, so "
            "parts differ from their shares. Give more topics, or keep_together=near_duplicates."
        )
    warnings += missing_classes(deal.leaks.classes)
    return [*warnings, *_warnings_of_inputs(deal, items)]


def _warnings_of_inputs(deal: Deal, items: Sequence[ItemSummary]) -> Iterable[str]:
    """Yield what an eval will not do with those items of a deal that are inputs alone."""
    parts = [part for item, part in zip(items, deal.parts, strict=True) if not item.is_run]
    if 0 < len(parts) < len(items):
        yield (
            f"{len(parts)} of the items are inputs alone. An eval measures either kind: if a part "
            "has items with an output, these alone."
        )
    if "golden" in parts:
        yield (
            f"{parts.count('golden')} golden items are inputs alone: nobody can label them before "
            "they have an output."
        )
