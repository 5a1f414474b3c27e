"""Spread items over topics, clauses, outcomes, personas and classes so that none go together.

The slots of one outcome of one clause are neighbours, and topics take turns along the slots. So a
topic has within one item of its share of each outcome, whatever their numbers: a table with such
rows and columns is a controlled rounding (Cox, JASA 82, 1987). Further factors are dealt by
minimisation (Pocock and Simon, Biometrics 31, 1975).
"""

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Aim(StrEnum):
    """What an item is meant to show."""

    PASS = "pass"
    """An output that meets the spec."""
    FAIL = "fail"
    """An output that breaks it: the input makes the mistake tempting."""
    BORDERLINE = "borderline"
    """An output on which careful people may disagree."""
    ANY = "any"
    """Nothing in particular: the generator cannot aim."""


USUAL_SHARES: Final[Mapping[Aim, int]] = {Aim.PASS: 2, Aim.FAIL: 2, Aim.BORDERLINE: 1}


class Quota(BaseModel):
    """So many items about one clause with one outcome.

    Attributes:
        clause: The id of the clause; "" for the spec as a whole.
        aim: The outcome.
        count: The items.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    clause: str = ""
    aim: Aim
    count: int = Field(ge=0, le=1000)


@dataclass(frozen=True, slots=True)
class Slot:
    """One item to be made.

    Attributes:
        number: Its place in the plan, from 1.
        topic: What it is about; "" for anything.
        clause: The id of the clause that it is about; "" for the spec as a whole.
        aim: The outcome that it is meant to have.
        persona: Who writes the input; "" for anybody.
        label: The class that its right output is meant to have; "" for any.
        source: The number of the passage or trace that it is made from; 0 for none.
    """

    number: int
    topic: str
    clause: str
    aim: Aim
    persona: str = ""
    label: str = ""
    source: int = 0


@dataclass(frozen=True, slots=True)
class Factors:
    """What slots are spread over beside clauses and outcomes.

    Attributes:
        topics: The share of each topic.
        personas: Who writes.
        labels: The classes of outputs.
        sources: How many passages or traces there are.
    """

    topics: Mapping[str, int]
    personas: Sequence[str] = ()
    labels: Sequence[str] = ()
    sources: int = 0


def largest_remainder(total: int, shares: Sequence[int]) -> list[int]:
    """Divide a number by shares, so that each part is within one of its exact size.

    Raises:
        ValueError: No share is above 0.
    """
    share_sum = sum(shares)
    if share_sum <= 0:
        raise ValueError("a share must be above 0")
    parts = [total * share // share_sum for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda n: -(total * shares[n] % share_sum))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


def usual_quotas(clauses: Sequence[str], count: int) -> tuple[Quota, ...]:
    """Return quotas of `count` items: outcomes 2 : 2 : 1, and each outcome over all clauses.

    Args:
        clauses: Ids of clauses; empty for the spec as a whole.
        count: The items.
    """
    names = list(clauses) or [""]
    sizes = largest_remainder(count, list(USUAL_SHARES.values()))
    aims = [aim for aim, size in zip(USUAL_SHARES, sizes, strict=True) for _ in range(size)]
    cells = Counter((names[place % len(names)], aim) for place, aim in enumerate(aims))
    return tuple(
        Quota(clause=name, aim=aim, count=cells[name, aim])
        for name in names
        for aim in USUAL_SHARES
        if cells[name, aim]
    )


def plan_slots(quotas: Sequence[Quota], factors: Factors, seed: int) -> tuple[Slot, ...]:
    """Return the slots of a plan, always the same for the same arguments.

    Raises:
        ValueError: No topic has a share.
    """
    chooser = random.Random(f"slots {seed}")
    aims = _shuffle(dict.fromkeys(quota.aim for quota in quotas), chooser)
    targets = [
        (quota.clause, quota.aim)
        for aim in aims
        for quota in _shuffle([quota for quota in quotas if quota.aim is aim], chooser)
        for _ in range(quota.count)
    ]
    topics = _turns(_shuffle(factors.topics, chooser), factors.topics, len(targets))
    slots = [
        Slot(0, topic, clause, aim) for topic, (clause, aim) in zip(topics, targets, strict=True)
    ]
    labels = _minimise([(slot.topic, (slot.clause, slot.aim)) for slot in slots], factors.labels,
                       chooser)  # fmt: skip
    slots = [replace(slot, label=label) for slot, label in zip(slots, labels, strict=True)]
    personas = _minimise([(slot.topic, slot.aim, slot.label) for slot in slots], factors.personas,
                         chooser)  # fmt: skip
    slots = [replace(slot, persona=who) for slot, who in zip(slots, personas, strict=True)]
    numbers = [str(number) for number in range(1, factors.sources + 1)]
    sources = _minimise([(slot.topic, slot.aim) for slot in slots], numbers, chooser)
    slots = [replace(slot, source=int(n or 0)) for slot, n in zip(slots, sources, strict=True)]
    # Slots of one topic are asked for together, so that their inputs differ from each other.
    order = {topic: place for place, topic in enumerate(factors.topics)}
    slots.sort(key=lambda slot: order[slot.topic])
    return tuple(replace(slot, number=number) for number, slot in enumerate(slots, 1))


def _turns(names: Sequence[str], shares: Mapping[str, int], count: int) -> list[str]:
    """Return names in turn, as often as their shares say in any stretch (smooth round robin).

    Raises:
        ValueError: No name has a share.
    """
    share_sum = sum(shares[name] for name in names)
    if share_sum <= 0:
        raise ValueError("a plan needs a topic with a share above 0")
    credits = dict.fromkeys(names, 0)
    turns: list[str] = []
    for _ in range(count):
        for name in names:
            credits[name] += shares[name]
        next_name = max(names, key=lambda name: credits[name])
        credits[next_name] -= share_sum
        turns.append(next_name)
    return turns


def _minimise(
    strata: Sequence[tuple[Hashable, ...]], levels: Sequence[str], chooser: random.Random
) -> list[str]:
    """Return a level for each place, as even as can be overall and within each of its strata.

    Args:
        strata: The strata of each place, one of each factor.
        levels: The levels; "" for all places if there are none.
        chooser: Decides between levels that are even.
    """
    if not levels:
        return [""] * len(strata)
    quota = dict(zip(_shuffle(levels, chooser), _even(len(strata), len(levels)), strict=True))
    counts: Counter[tuple[int, Hashable, str]] = Counter()
    chosen_levels = [""] * len(strata)
    for place in _shuffle(range(len(strata)), chooser):
        own = list(enumerate(strata[place]))
        open_levels = [level for level, rest in quota.items() if rest]
        level = min(
            _shuffle(open_levels, chooser),
            key=lambda name: (sum(counts[n, value, name] for n, value in own), -quota[name]),
        )
        quota[level] -= 1
        counts.update((n, value, level) for n, value in own)
        chosen_levels[place] = level
    return chosen_levels


def _even(total: int, parts: int) -> list[int]:
    return largest_remainder(total, [1] * parts)


def _shuffle(values: Iterable[T], chooser: random.Random) -> list[T]:
    items = list(values)
    chooser.shuffle(items)
    return items
