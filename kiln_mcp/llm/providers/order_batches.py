"""Batches of work orders: what the orders have in common once, then what differs.

The orders of one job are mostly one prompt with another item in it. So a batch has one frame, the
messages with a marker in the last one, and for each order the text that takes the marker's place.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from kiln_mcp.llm.messages import JsonSchema, Message

MARKER: Final = "{{item}}"
"""Stands in a frame for the text of an order."""
ITEM_OVERHEAD: Final = 40
"""The characters that an item takes beside its text: its id and the names of its fields."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A request for the assistant.

    Attributes:
        id: Handed back with the answer.
        messages: The conversation to answer.
        schema: The JSON schema that the answer must fit; None for free text.
        choices: The texts of which the answer must be one; empty for free text.
        asker: Who asks, as a path; empty if unknown.
    """

    id: str
    messages: tuple[Message, ...]
    schema: JsonSchema | None
    choices: tuple[str, ...]
    asker: str = ""


@dataclass(frozen=True, slots=True)
class OrderBatch:
    """Work orders with one frame.

    Attributes:
        frame: The messages; the last one holds `MARKER` where orders differ. A single order has
            no marker.
        schema: The JSON schema that each answer must fit; None for free text.
        choices: The texts of which each answer must be one; empty for free text.
        items: The id of each order, and the text that takes the marker's place; None if there is
            no marker.
    """

    frame: tuple[Message, ...]
    schema: JsonSchema | None
    choices: tuple[str, ...]
    items: tuple[tuple[str, str | None], ...]

    @property
    def frame_size(self) -> int:
        """The characters of everything but the items."""
        schema = 0 if self.schema is None else len(json.dumps(self.schema))
        return schema + sum(map(len, self.choices)) + sum(len(m.content) for m in self.frame)

    def messages_with(self, text: str | None) -> tuple[Message, ...]:
        """Return the messages of the order with this text."""
        if text is None:
            return self.frame
        *earlier, last = self.frame
        return (*earlier, replace(last, content=last.content.replace(MARKER, text)))


def batches_of(orders: Iterable[WorkOrder]) -> tuple[OrderBatch, ...]:
    """Put orders together that differ in their last message only, in the order of the first."""
    groups: dict[str, list[WorkOrder]] = {}
    for order in orders:
        earlier = [(message.role, message.content) for message in order.messages[:-1]]
        key = json.dumps(
            [earlier, order.messages[-1].role, order.schema, order.choices], sort_keys=True
        )
        groups.setdefault(key, []).append(order)
    return tuple(_batch(group) for group in groups.values())


def within_size(batches: Iterable[OrderBatch], size: int) -> tuple[OrderBatch, ...]:
    """Return the first orders that take at most so many characters, and one in any case."""
    batches_within: list[OrderBatch] = []
    room = size
    for batch in batches:
        room -= batch.frame_size
        items = list[tuple[str, str | None]]()
        for item in batch.items:
            room -= len(item[1] or "") + ITEM_OVERHEAD
            if room < 0 and (batches_within or items):
                break
            items.append(item)
        if items:
            batches_within.append(replace(batch, items=tuple(items)))
        if room < 0:
            break
    return tuple(batches_within)


def _batch(orders: Sequence[WorkOrder]) -> OrderBatch:
    first = orders[0]
    if len(orders) == 1:
        return OrderBatch(first.messages, first.schema, first.choices, ((first.id, None),))
    texts = [order.messages[-1].content for order in orders]
    start, end = _common_ends(texts)
    if MARKER in start + end:  # it would be taken for the item's place
        start = end = ""
    middles = [text[len(start) : len(text) - len(end)] for text in texts]
    frame = (*first.messages[:-1], replace(first.messages[-1], content=f"{start}{MARKER}{end}"))
    items = tuple((order.id, text) for order, text in zip(orders, middles, strict=True))
    return OrderBatch(frame, first.schema, first.choices, items)


def _common_ends(texts: Sequence[str]) -> tuple[str, str]:
    """Return the whole lines that all texts begin and end with; they do not overlap."""
    lines = [text.splitlines(keepends=True) for text in texts]
    shortest = min(map(len, lines))
    start = _common_count([part[:shortest] for part in lines])
    end = _common_count([part[::-1][: shortest - start] for part in lines])
    first = lines[0]
    return "".join(first[:start]), "".join(first[len(first) - end :])


def _common_count(lines: Sequence[Sequence[str]]) -> int:
    """Return how many lines are the same in all texts, counted from the first."""
    columns = zip(*lines, strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
