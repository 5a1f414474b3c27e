"""Complete the deal of a split: items keep their parts, and items like them follow."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio.to_thread

from kiln_mcp.datasets.near_duplicates import group_names
from kiln_mcp.datasets.parts import SHARES, part_tags
from kiln_mcp.datasets.sample_sizes import SMALL_GOLDEN_PART, SMALL_TEST_PART
from kiln_mcp.datasets.splits import deal
from kiln_mcp.datasets.topics import topic_of
from kiln_mcp.synthesis.report import SplitRecord, write_report
from storage import (
    Change,
    EvalInput,
    ProjectStore,
    Task,
    TaskRun,
    eval_input_filter,
    task_run_filter,
)
from storage.bulk_changes import BATCH
from storage.errors import NextStep, Refusal
from storage.format.filters import is_input_filter

SplitItem = TaskRun | EvalInput
"""What is dealt: an input with an output, or an input alone."""

Batch = Sequence[tuple[SplitItem, str | None]]
"""Items with their parts, of one transaction; None takes an item out of its part."""

ItemT = TypeVar("ItemT", bound=TaskRun | EvalInput)


@dataclass(frozen=True, slots=True)
class DealRequest:
    """How items are to be dealt.

    Attributes:
        name: The split's name, as people call it.
        ending: The ending of its tags.
        shares: The share of each part.
        seed: Repeats the deal.
        by_topic: Whether items of one topic stay together, too.
        is_new: Whether items that the split has dealt already are dealt again.
    """

    name: str
    ending: str
    shares: dict[str, int]
    seed: int
    by_topic: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class Deal:
    """The part of each item of a split.

    Attributes:
        record: How it was dealt.
        parts: The part of each item, in the order of the items.
        groups: The group that each item stays together with.
        dealt_now: Items that had no part before.
    """

    record: SplitRecord
    parts: Sequence[str]
    groups: Sequence[str]
    dealt_now: int


async def items_to_deal(
    store: ProjectStore, task: Task, runs: Sequence[TaskRun], filter_id: str
) -> list[SplitItem]:
    """Return the items of a filter: runs of the dataset, and inputs alone.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    fits = task_run_filter(filter_id)
    own_runs = [run for run in runs if fits(run)]
    if not is_input_filter(filter_id):  # it asks for a rating or a thought
        return [*own_runs]
    fits_input = eval_input_filter(filter_id)
    inputs = [item for item in await store.children(task, EvalInput) if fits_input(item)]
    return [*own_runs, *sorted(inputs, key=lambda item: (item.created_at, item.id))]


async def deal_items(items: Sequence[SplitItem], request: DealRequest) -> Deal:
    """Deal items into parts; nothing is saved yet.

    Raises:
        Refusal: There is nothing to deal.
    """
    tags = part_tags(request.ending)
    previous = [None if request.is_new else part_of(item, tags) for item in items]
    dealt_now = previous.count(None)
    if not dealt_now:
        raise nothing_to_deal(request.name, len(items))
    inputs, topics = [*map(input_of, items)], grouping_keys(items, by_topic=request.by_topic)
    groups = await anyio.to_thread.run_sync(group_names, inputs, topics)
    parts = complete_deal(groups, previous, request.shares, request.seed)
    sizes = Counter(parts)
    record = SplitRecord(
        name=request.ending,
        seed=request.seed,
        shares=request.shares,
        sizes={part: sizes[part] for part in SHARES if sizes[part]},
        groups=len(set(groups)),
        largest_group=max(Counter(groups).values()),
    )
    return Deal(record, parts, groups, dealt_now)


async def save_deal(
    store: ProjectStore,
    task: Task,
    all_runs: Sequence[TaskRun],
    items: Sequence[SplitItem],
    deal: Deal,
) -> None:
    """Save the parts of a deal as tags, and the data report with the last ones.

    Args:
        store: The open project.
        task: The task of the dataset.
        all_runs: All runs of the dataset, for the report.
        items: The items that were dealt.
        deal: Their parts.
    """
    tags = part_tags(deal.record.name)
    *batches, last = deal_batches(zip(items, deal.parts, deal.groups, strict=True), tags)
    for batch in batches:
        async with store.transaction() as change:
            await anyio.to_thread.run_sync(assign_parts, change, batch, tags)
    parts_by_run = {item.id: part for item, part in zip(items, deal.parts, strict=True)}
    as_dealt = [
        with_part_tag(run, parts_by_run[run.id], tags) if run.id in parts_by_run else run
        for run in all_runs
    ]
    async with store.transaction() as change:
        await anyio.to_thread.run_sync(assign_parts, change, last, tags)
        await write_report(change, task, as_dealt, deal.record)


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
    assignments: Iterable[tuple[SplitItem, str, str]], tags: Mapping[str, str]
) -> list[Batch]:
    """Return the items whose tags change with their parts, for transactions of about a thousand.

    A group is in one transaction if it has no more than that. So a process that is killed leaves
    no group in two parts. What comes of no change at all is one empty batch.

    Args:
        assignments: Each item, its part and its group.
        tags: The tag of each part.
    """
    by_group: dict[str, list[tuple[SplitItem, str | None]]] = defaultdict(list)
    for item, part, group in assignments:
        if with_part_tag(item, part, tags) is not item:
            by_group[group].append((item, part))
    batches: list[list[tuple[SplitItem, str | None]]] = [[]]
    for members in by_group.values():
        for begin in range(0, len(members), BATCH):
            some = members[begin : begin + BATCH]
            if batches[-1] and len(batches[-1]) + len(some) > BATCH:
                batches.append([])
            batches[-1] += some
    return list(batches)


def deal_batches(
    assignments: Iterable[tuple[SplitItem, str, str]], tags: Mapping[str, str]
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
        change.amend(item, partial(with_part_tag, part=part, tags=tags))


def with_part_tag(item: ItemT, part: str | None, tags: Mapping[str, str]) -> ItemT:
    """Return an item with the tag of one part of a split and of no other; None for no part."""
    other_tags = tuple(tag for tag in item.tags if tag not in tags.values())
    if part is None:
        return item.replace(tags=other_tags)
    is_dealt = tags[part] in item.tags and len(other_tags) + 1 == len(item.tags)
    return item if is_dealt else item.replace(tags=(*other_tags, tags[part]))


def input_of(item: SplitItem) -> str:
    """Return the text by which an item is like others."""
    if isinstance(item, TaskRun):
        return item.input
    if item.data.type == "single_turn":
        return item.opening_text
    user = item.data.synthetic_user_info
    return "\n".join((item.opening_text, user.persona, user.goal))


def grouping_keys(items: Sequence[SplitItem], *, by_topic: bool) -> list[str | None]:
    """Return the topic of each item that keeps it together with others; None without one."""
    return [topic_of(item) if by_topic and isinstance(item, TaskRun) else None for item in items]


def part_of(item: SplitItem, tags: Mapping[str, str]) -> str | None:
    """Return the part of a split that an item is in, None if it is in none."""
    return next((part for part, tag in tags.items() if tag in item.tags), None)


def complete_deal(
    groups: Sequence[str], previous: Sequence[str | None], shares: dict[str, int], seed: int
) -> list[str]:
    """Return the part of every item: as before, as its group's, or newly dealt."""
    home = {group: part for group, part in zip(groups, previous, strict=True) if part is not None}
    loose = [group for group in groups if group not in home]
    new_parts = dict(zip(loose, deal(loose, shares, seed), strict=True))
    return [
        part or home.get(group) or new_parts[group]
        for group, part in zip(groups, previous, strict=True)
    ]


def shares_for(shares: dict[str, int], items: Sequence[SplitItem]) -> dict[str, int]:
    """Return the usual shares for some items: inputs alone have no output for people to label."""
    if any(isinstance(item, TaskRun) for item in items):
        return shares
    return {part: share for part, share in shares.items() if part != "golden"}


def deal_warnings(deal: Deal, items: Sequence[SplitItem], shares: dict[str, int]) -> list[str]:
    """Return what is weak about a deal: small parts, large groups, two kinds of items."""
    warnings: list[str] = []
    record, sizes = deal.record, deal.record.sizes
    if "test" in shares and sizes.get("test", 0) < SMALL_TEST_PART:
        warnings.append(
            f"Only {sizes.get('test', 0)} test items: differences below 0.3 will hardly show."
        )
    if "golden" in shares and sizes.get("golden", 0) < SMALL_GOLDEN_PART:
        warnings.append(
            f"Only {sizes.get('golden', 0)} golden items: a judge's agreement will be uncertain."
        )
    if record.largest_group * 4 > sum(sizes.values()):
        warnings.append(
            f"{record.largest_group} items are alike or of one topic and had to stay together, so "
            "parts differ from their shares. Give more topics, or keep_together=near_duplicates."
        )
    return [*warnings, *_warnings_of_inputs(deal, items)]


def _warnings_of_inputs(deal: Deal, items: Sequence[SplitItem]) -> Iterable[str]:
    """Yield what an eval will not do with those items of a deal that are inputs alone."""
    parts = [
        part for item, part in zip(items, deal.parts, strict=True) if isinstance(item, EvalInput)
    ]
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
