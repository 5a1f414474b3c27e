"""How a new candidate is made of the best one so far, without asking a model."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kiln_mcp.evolution.blocks import Block, Candidate

FEWEST_DEMONSTRATIONS: Final = 3
MOST_DEMONSTRATIONS: Final = 7


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
class SearchSpace:
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
class CandidateProposal:
    """A candidate, and how it was made."""

    operator: Operator
    candidate: Candidate
    reason: str = ""


def draw_demonstrations(
    draw: random.Random, space: SearchSpace, count: int, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return so many items, of different topics while there are enough; fewer if there are fewer.

    Args:
        draw: The source of chance.
        space: What there is.
        count: How many are wanted.
        without: Items, and with them topics, that are taken already.
    """
    candidates = [item for item in space.topics if item not in without]
    draw.shuffle(candidates)
    topics = {space.topics[item] for item in without if item in space.topics}
    selection: list[str] = []
    for repeats in (False, True):
        for item in candidates:
            if (
                len(selection) < count
                and item not in selection
                and (repeats or space.topics[item] not in topics)
            ):
                selection.append(item)
                topics.add(space.topics[item])
    return tuple(selection)


def propose(
    draw: random.Random, best: Candidate, space: SearchSpace, *, early: bool
) -> CandidateProposal:
    """Return a new candidate; now and then one that was tried before.

    Early in the search whole sets of demonstrations are drawn, for they differ most; later the
    best set is changed in one place.
    """
    operators = _possible(best, space)
    weights = [_WEIGHTS[operator][0 if early else 1] for operator in operators]
    operator = draw.choices(operators, weights)[0]
    demonstrations = list(best.demonstrations)
    match operator:
        case Operator.FRESH:
            demonstrations = list(
                draw_demonstrations(
                    draw, space, draw.randint(FEWEST_DEMONSTRATIONS, MOST_DEMONSTRATIONS)
                )
            )
        case Operator.ADD:
            demonstrations.insert(
                draw.randint(0, len(demonstrations)),
                *draw_demonstrations(draw, space, 1, demonstrations),
            )
        case Operator.REMOVE:
            del demonstrations[draw.randrange(len(demonstrations))]
        case Operator.SWAP:
            fresh = draw_demonstrations(draw, space, 1, demonstrations)
            demonstrations[draw.randrange(len(demonstrations))] = fresh[0]
        case Operator.ORDER:
            draw.shuffle(demonstrations)
        case _:
            alternatives = [text for text in space.instructions if text != best.instruction]
            return CandidateProposal(operator, replace(best, instruction=draw.choice(alternatives)))
    return CandidateProposal(operator, replace(best, demonstrations=tuple(demonstrations)))


_WEIGHTS: Final[Mapping[Operator, tuple[int, int]]] = {
    Operator.FRESH: (8, 3),
    Operator.ADD: (1, 3),
    Operator.REMOVE: (0, 1),
    Operator.SWAP: (1, 3),
    Operator.ORDER: (0, 1),
    Operator.INSTRUCTION: (3, 2),
}
"""How often each is drawn, early and later."""


def _possible(best: Candidate, space: SearchSpace) -> list[Operator]:
    count = len(best.demonstrations)
    spare = len(set(space.topics) - set(best.demonstrations))
    operators = [Operator.FRESH] if space.topics else []
    if count and spare:
        operators += (
            [Operator.SWAP] if count >= MOST_DEMONSTRATIONS else [Operator.ADD, Operator.SWAP]
        )
    if count > 1:
        operators += [Operator.REMOVE, Operator.ORDER]
    if any(text != best.instruction for text in space.instructions):
        operators.append(Operator.INSTRUCTION)
    return operators
