"""A coverage plan: which topics, with outputs that should pass, fail or be borderline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Aim(StrEnum):
    """What an input is meant to provoke."""

    PASS = "pass"
    """An output that meets the spec."""
    FAIL = "fail"
    """An output that breaks it: the input makes the mistake tempting."""
    BORDERLINE = "borderline"
    """An output on which careful people may disagree."""
    ANY = "any"
    """Nothing in particular: the generator cannot aim. Never in a `coverage_plan`."""


@dataclass(frozen=True, slots=True)
class Cell:
    """So many inputs about one topic with one aim."""

    topic: str
    aim: Aim
    count: int


def coverage_plan(topics: Sequence[str], count: int) -> tuple[Cell, ...]:
    """Spread `count` inputs over topics and aims.

    Topics differ by at most one input. Aims come in the ratio 2 : 2 : 1 overall, and each topic
    starts at another place of that cycle so that small topics do not all get the same aim.

    Raises:
        ValueError: There is no topic, or topics repeat.
    """
    if not topics or len(set(topics)) < len(topics):
        raise ValueError("a plan needs topics, each of them once")
    cycle = [Aim.PASS, Aim.FAIL, Aim.BORDERLINE, Aim.PASS, Aim.FAIL]
    cells = Counter(
        (topics[place % len(topics)], cycle[(place + place // len(topics)) % len(cycle)])
        for place in range(count)
    )
    return tuple(
        Cell(topic, aim, cells[topic, aim]) for topic in topics for aim in Aim if cells[topic, aim]
    )
