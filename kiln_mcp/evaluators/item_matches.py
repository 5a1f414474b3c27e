"""Match the items of two lists, order aside: as many pairs as there can be."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

MEASURES: Final = ("precision", "recall", "f1")
_MOST_PAIRS: Final = 10_000
"""Pairs of items that are compared one by one; in longer lists only equal items match."""


@dataclass(frozen=True, slots=True)
class ListCounts:
    """How the items of a list agree, order aside.

    Attributes:
        matches: Items that both lists have.
        extra: Items that the output alone has.
        missing: Items that the expected list alone has.
    """

    matches: int
    extra: int
    missing: int

    def measure(self, name: str) -> float:
        """Return `precision`, `recall` or `f1`, from 0 to 1; two empty lists agree.

        Source:
            van Rijsbergen (1979), Information Retrieval, chapter 7.
        """
        output_count = self.matches + self.extra
        expected_count = self.matches + self.missing
        if not output_count and not expected_count:
            return 1.0
        match name:
            case "precision":
                return self.matches / output_count if output_count else 0.0
            case "recall":
                return self.matches / expected_count if expected_count else 0.0
            case _:
                return 2 * self.matches / (output_count + expected_count)


def count_matches(
    keys: Sequence[str], expected_keys: Sequence[str], is_same: Callable[[int, int], bool]
) -> ListCounts:
    """Count the items that both lists have, each once.

    Args:
        keys: A text for each item of the output, the same for items that are certainly one.
        expected_keys: The same of the expected list.
        is_same: Whether the items at these two places are one.
    """
    alike = Counter(keys) & Counter(expected_keys)
    places, expected_places = _without(keys, alike), _without(expected_keys, alike)
    matches = alike.total()
    if len(places) * len(expected_places) <= _MOST_PAIRS:
        partners = [
            [other for other in expected_places if is_same(place, other)] for place in places
        ]
        matches += _largest_matching(partners)
    return ListCounts(matches, len(keys) - matches, len(expected_keys) - matches)


def _largest_matching(partners: Sequence[Sequence[int]]) -> int:
    """Return how many places can have a partner of their own.

    Source:
        Kuhn (1955), by augmenting paths, which are searched breadth first.
    """
    owners: dict[int, int] = {}
    return sum(_augment(place, partners, owners) for place in range(len(partners)))


def _augment(start: int, partners: Sequence[Sequence[int]], owners: dict[int, int]) -> bool:
    """Give a place a partner, if those who have one can change it."""
    previous: dict[int, tuple[int, int | None]] = {}
    waiting = deque[tuple[int, int | None]]([(start, None)])
    while waiting:
        place, vacancy = waiting.popleft()
        for partner in partners[place]:
            if partner in previous:
                continue
            previous[partner] = (place, vacancy)
            if partner in owners:
                waiting.append((owners[partner], partner))
                continue
            step: int | None = partner
            while step is not None:
                owner, earlier_step = previous[step]
                owners[step] = owner
                step = earlier_step
            return True
    return False


def _without(keys: Sequence[str], alike: Counter[str]) -> list[int]:
    """Return the places of the keys that remain once the alike ones are taken, each as often."""
    remaining = Counter(alike)
    places: list[int] = []
    for index, key in enumerate(keys):
        if remaining[key]:
            remaining[key] -= 1
        else:
            places.append(index)
    return places
