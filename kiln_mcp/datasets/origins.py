"""What items come from, as columns whose equal values keep items on one side of a split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kiln_mcp.datasets.summaries import ItemSummary

TOPIC = "topic"


def origin_columns(items: Sequence[ItemSummary]) -> dict[str, list[str | None]]:
    """Return the topic, the document, the seed example and the conversation of items.

    An item that others were made from has itself as its seed example, or the one that it was made
    from in turn.
    """
    seeds = {item.id: item.lineage.seed_example for item in items if item.lineage.seed_example}
    origins = {*seeds, *seeds.values()}
    return {
        TOPIC: [item.topic for item in items],
        "document": [item.lineage.document or None for item in items],
        "seed example": [_first(item.id, seeds) if item.id in origins else None for item in items],
        "conversation": [item.lineage.conversation or None for item in items],
    }


def _first(name: str, predecessors: Mapping[str, str | None]) -> str:
    """Return where a chain of predecessors begins; a circle begins at its smallest name."""
    path = {name: None}
    while (predecessor := predecessors.get(name)) is not None:
        if predecessor in path:
            return min(path)
        path[predecessor] = None
        name = predecessor
    return name


def with_conversations(
    items: Iterable[ItemSummary], runs: Iterable[ItemSummary]
) -> list[ItemSummary]:
    """Return items with the first turn of their conversation as its name, if none is known.

    Args:
        items: The items.
        runs: All runs of the task, with the turns between.
    """
    parents = {run.id: run.parent_task_run_id for run in runs}
    return [_with_conversation(item, parents) for item in items]


def _with_conversation(item: ItemSummary, parents: Mapping[str, str | None]) -> ItemSummary:
    if item.parent_task_run_id is None or item.lineage.conversation:
        return item
    first = _first(item.id, parents)
    return replace(item, lineage=replace(item.lineage, conversation=first))
