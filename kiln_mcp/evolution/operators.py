"""How a new candidate is made of the best one so far, without asking a model."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kiln_mcp.evolution.blocks import Block, Candidate

FEWEST: Final = 3
MOST: Final = 7


class Operator(StrEnum):
    """How a candidate came to be."""

    FRESH = "fresh demonstrations"
    ADD = "one more demonstration"
    REMOVE = "one demonstration less"
    SWAP = "another demonstration"
    ORDER = "another order"
    INSTRUCTION = "another instruction"
    REFLECT = "a model's edit"


@dataclass(frozen=True, slots=True)
class Pool:
    """What candidates are made of.

    Attributes:
        topics: The topic of each training item that can be shown, by id, in an order that does
            not depend on the ids, which are random; items of one topic are not shown together
            while there are others.
        instructions: The instructions to choose from.
    """

    topics: Mapping[str, str]
    instructions: Sequence[tuple[Block, ...]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate, and how it was made."""

    operator: Operator
    candidate: Candidate
    reason: str = ""


def draw_demonstrations(
    draw: random.Random, pool: Pool, count: int, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return so many items, of different topics while there are enough; fewer if there are fewer.

    Args:
        draw: The source of chance.
        pool: What there is.
        count: How many are wanted.
        without: Items, and with them topics, that are taken already.
    """
    left = [item for item in pool.topics if item not in without]
    draw.shuffle(left)
    taken = {pool.topics[item] for item in without if item in pool.topics}
    chosen: list[str] = []
    for repeats in (False, True):
        for item in left:
            if (
                len(chosen) < count
                and item not in chosen
                and (repeats or pool.topics[item] not in taken)
            ):
                chosen.append(item)
                taken.add(pool.topics[item])
    return tuple(chosen)


def propose(draw: random.Random, best: Candidate, pool: Pool, *, early: bool) -> Proposal:
    """Return a new candidate; now and then one that was tried before.

    Early in the search whole sets of demonstrations are drawn, for they differ most; later the
    best set is changed in one place.
    """
    operators = _possible(best, pool)
    weights = [_WEIGHTS[operator][0 if early else 1] for operator in operators]
    operator = draw.choices(operators, weights)[0]
    shown = list(best.demonstrations)
    match operator:
        case Operator.FRESH:
            shown = list(draw_demonstrations(draw, pool, draw.randint(FEWEST, MOST)))
        case Operator.ADD:
            shown.insert(draw.randint(0, len(shown)), *draw_demonstrations(draw, pool, 1, shown))
        case Operator.REMOVE:
            del shown[draw.randrange(len(shown))]
        case Operator.SWAP:
            fresh = draw_demonstrations(draw, pool, 1, shown)
            shown[draw.randrange(len(shown))] = fresh[0]
        case Operator.ORDER:
            draw.shuffle(shown)
        case _:
            others = [text for text in pool.instructions if text != best.instruction]
            return Proposal(operator, replace(best, instruction=draw.choice(others)))
    return Proposal(operator, replace(best, demonstrations=tuple(shown)))


_WEIGHTS: Final[Mapping[Operator, tuple[int, int]]] = {
    Operator.FRESH: (8, 3),
    Operator.ADD: (1, 3),
    Operator.REMOVE: (0, 1),
    Operator.SWAP: (1, 3),
    Operator.ORDER: (0, 1),
    Operator.INSTRUCTION: (3, 2),
}
"""How often each is drawn, early and later."""


def _possible(best: Candidate, pool: Pool) -> list[Operator]:
    shown = len(best.demonstrations)
    unused = len(set(pool.topics) - set(best.demonstrations))
    found = [Operator.FRESH] if pool.topics else []
    if shown and unused:
        found += [Operator.SWAP] if shown >= MOST else [Operator.ADD, Operator.SWAP]
    if shown > 1:
        found += [Operator.REMOVE, Operator.ORDER]
    if any(text != best.instruction for text in pool.instructions):
        found.append(Operator.INSTRUCTION)
    return found
