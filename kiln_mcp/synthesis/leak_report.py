"""What a person reads of the leaks of a split, and of the classes in its parts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from kiln_mcp.datasets.classes import classes_of
from kiln_mcp.datasets.leaks import Leaks, PairCount, find_leaks
from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.origins import origin_columns
from kiln_mcp.datasets.parts import PARTS
from kiln_mcp.datasets.summaries import ItemSummary
from storage.text.excerpts import excerpt

_LONGEST: Final = 60
_NAME_COUNT: Final = 3
_PLURALS: Final = {
    "topic": "topics",
    "document": "documents",
    "seed example": "seed examples",
    "conversation": "conversations",
}
_SHARED_COUNT: Final = 50
_LEAST_EXPECTED: Final = 3.0
"""Items of a class that a part should have by its size, from which it is names if it has none."""


class NeighbourRecord(BaseModel):
    """An item and the nearest one of another part, with an excerpt of each."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    item: str
    part: str
    other: str
    other_part: str
    similarity: float
    text: str
    other_text: str


class LeakReport(BaseModel):
    """What the parts of a split have in common, and the classes in them.

    Attributes:
        is_clean: Whether there are several that share no duplicate, no form and no origin.
        sentences: What they share, the worst first; empty for a clean split.
        duplicate_pairs: Pairs of items in different parts that say the same.
        alike_pairs: The same of alike texts, such as with other numbers.
        form_pairs: The same of texts of one form.
        shared: Values in several parts, by what they are, such as "topic".
        nearest: The nearest neighbours across parts.
        mean_similarity: The mean similarity of an item to the nearest one of another part.
        compared_items: The items that the last two rest on.
        classes: How many items of each class each part has.
        parts: How many parts have items.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    is_clean: bool
    sentences: list[str]
    duplicate_pairs: int
    alike_pairs: int
    form_pairs: int
    shared: dict[str, list[str]]
    nearest: list[NeighbourRecord]
    mean_similarity: float
    compared_items: int
    classes: dict[str, dict[str, int]]
    parts: int = 2


def leak_report(
    items: Sequence[ItemSummary], parts: Sequence[str], near_duplicates: NearDuplicates
) -> LeakReport:
    """Compare the parts of a split.

    Args:
        items: The items of the split.
        parts: The part of each.
        near_duplicates: How their texts are compared: those among these or other texts.
    """
    near_duplicates = near_duplicates.among([item.text for item in items])
    leaks = find_leaks(near_duplicates, parts, origin_columns(items))
    return LeakReport(
        is_clean=leaks.is_clean and len(set(parts)) > 1,
        sentences=[*_sentences(leaks, items, parts)],
        duplicate_pairs=leaks.duplicates.across,
        alike_pairs=leaks.alike.across,
        form_pairs=leaks.same_form.across,
        shared={
            name: list(values.shared[:_SHARED_COUNT])
            for name, values in leaks.shared.items()
            if values.shared
        },
        nearest=[
            NeighbourRecord(
                item=items[pair.place].id,
                part=parts[pair.place],
                other=items[pair.other].id,
                other_part=parts[pair.other],
                similarity=pair.similarity,
                text=excerpt(items[pair.place].text, _LONGEST),
                other_text=excerpt(items[pair.other].text, _LONGEST),
            )
            for pair in leaks.nearest
        ],
        mean_similarity=round(leaks.mean_similarity, 4),
        compared_items=leaks.compared_items,
        classes=class_balance(items, parts),
        parts=len(set(parts)),
    )


def _sentences(leaks: Leaks, items: Sequence[ItemSummary], parts: Sequence[str]) -> Iterator[str]:
    duplicates, alike = leaks.duplicates, leaks.alike
    if len(set(parts)) == 1:
        yield (
            f"Every item is in the part {parts[0]}: nothing is kept apart from it, so nothing can "
            "leak and nothing can be measured on other items."
        )
    if duplicates.across:
        yield f"{_pairs(duplicates, 'that say the same', items, parts)}."
    if alike.across > duplicates.across:
        yield f"{_pairs(alike, 'of alike texts', items, parts)}."
    for name, values in leaks.shared.items():
        if values.shared:
            names = ", ".join(excerpt(value, _LONGEST) for value in values.shared[:_NAME_COUNT])
            yield (
                f"{len(values.shared)} of {values.total} {_PLURALS.get(name, name)} are in several "
                f"parts: {names}{', …' if len(values.shared) > _NAME_COUNT else ''}."
            )
    if leaks.same_form.across:
        yield (
            f"{_pairs(leaks.same_form, 'of the same form', items, parts)}. "
            "keep_together=forms keeps them on one side."
        )


def _pairs(count: PairCount, words: str, items: Sequence[ItemSummary], parts: Sequence[str]) -> str:
    text = f"{count.across} of {count.pairs} pairs {words} are in different parts"
    if count.example is None:
        return text
    first, second = (
        f"'{excerpt(items[place].text, _LONGEST)}' ({parts[place]})" for place in count.example
    )
    return f"{text}, such as {first} and {second}"


def class_balance(items: Sequence[ItemSummary], parts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many items of each class each part has; nothing if the items have no classes."""
    balance: dict[str, Counter[str]] = {part: Counter() for part in PARTS if part in parts}
    for own_class, part in zip(
        classes_of([item.lineage.label for item in items]), parts, strict=True
    ):
        if own_class:
            balance.setdefault(part, Counter())[own_class] += 1
    return {part: dict(sorted(counts.items())) for part, counts in balance.items() if counts}


def missing_classes(balance: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a sentence for each part that lacks a class which it should have by its size."""
    totals: Counter[str] = Counter()
    for counts in balance.values():
        totals.update(counts)
    sentences: list[str] = []
    for part, counts in balance.items():
        share = sum(counts.values()) / totals.total()
        missing = [
            name
            for name, total in totals.items()
            if name not in counts and total * share >= _LEAST_EXPECTED
        ]
        if missing:
            names = ", ".join(excerpt(name, _LONGEST) for name in missing[:_NAME_COUNT])
            sentences.append(f"The part {part} has no item of the class {names}.")
    return sentences
