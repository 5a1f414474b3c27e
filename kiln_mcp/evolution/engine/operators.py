"""Ways to make a child, and which of them pay in this search."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, INSTRUCTION, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit, apply_edits
from kiln_mcp.evolution.engine.knowledge import Knowledge
from kiln_mcp.evolution.engine.values import Evaluation, Item

FEWEST_DEMONSTRATIONS: Final = 3
MOST_DEMONSTRATIONS: Final = 7
PRIOR_CALLS: Final = 20


class Operator(StrEnum):
    """How a child is made."""

    REFLECT = "reflect"
    DEMONSTRATE = "demonstrate"
    ADVISE = "advise"
    RESTART = "restart"
    ADOPT = "adopt"
    COMPRESS = "compress"
    PARAPHRASE = "paraphrase"
    RESTATE = "restate"


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Training items that can be shown as examples.

    Attributes:
        texts: What is shown of an item whose right output is known, by the item's id.
        topics: What each is about; items of one topic are shown together last.
        render: Writes an output that an evaluator accepted as a demonstration; None if the outputs
            of the search are not to be shown. "" for one that cannot be shown.
    """

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    topics: Mapping[str, str] = field(default_factory=dict[str, str])
    render: Callable[[Item, Evaluation], str] | None = None

    def pool(self, knowledge: Knowledge, train: Sequence[Item]) -> dict[str, str]:
        """Return what can be shown now: right outputs, and those that an evaluator accepted."""
        pool = {item.id: self.texts[item.id] for item in train if item.id in self.texts}
        if self.render is None:
            return pool
        for entry in knowledge.of(train):
            if entry.value >= 1 and entry.item.id not in pool and entry.evaluation.output:
                text = self.render(entry.item, entry.evaluation)
                if text:
                    pool[entry.item.id] = text
        return pool


def choose_demonstrations(
    draw: random.Random, head: Candidate, pool: Mapping[str, str], topics: Mapping[str, str]
) -> list[BlockEdit]:
    """Return edits that show other examples: a fresh set, one more, another one, or one less."""
    own = list(head.demonstrations)
    spare = [name for name in pool if name not in own]
    moves = ["fresh"] if spare else []
    if own and spare:
        moves += ["swap", *(["add"] if len(own) < MOST_DEMONSTRATIONS else [])]
    if len(own) > 1:
        moves.append("remove")
    if not moves:
        return []
    move = draw.choice(moves if own else ["fresh"])
    if move == "fresh":
        count = draw.randint(FEWEST_DEMONSTRATIONS, MOST_DEMONSTRATIONS)
        selection = _diverse(draw, list(pool), count, topics)
        edits = [_delete(name) for name in own if name not in selection]
        return edits + [_add(name, pool[name]) for name in selection if name not in own]
    edits = [_delete(draw.choice(own))] if move in {"swap", "remove"} else []
    if move in {"swap", "add"}:
        name = _diverse(draw, spare, 1, topics)[0]
        edits.append(_add(name, pool[name]))
    return edits


def _diverse(
    draw: random.Random, names: list[str], count: int, topics: Mapping[str, str]
) -> list[str]:
    """Return so many items, of different topics while there are enough."""
    draw.shuffle(names)
    counts: Counts = {}
    ranks = {name: _next_rank(counts, topics.get(name, name)) for name in names}
    return sorted(names, key=lambda name: ranks[name])[:count]


Counts = dict[str, int]


def _next_rank(counts: Counts, topic: str) -> int:
    counts[topic] = counts.get(topic, -1) + 1
    return counts[topic]


def _add(name: str, text: str) -> BlockEdit:
    return BlockEdit("add", None, text, component=DEMONSTRATIONS, id=name)


def _delete(name: str) -> BlockEdit:
    return BlockEdit("delete", name, component=DEMONSTRATIONS)


def advise(head: Candidate, advice: Sequence[str], tries: Mapping[str, int]) -> list[BlockEdit]:
    """Return the edit that adds the first line of advice that was not tried on a candidate.

    Args:
        head: The candidate.
        advice: The lines.
        tries: Races by the candidate's id.
    """
    blocks = head.blocks_of(INSTRUCTION)
    after = blocks[-1].id if blocks else None
    texts = {block.text.strip() for block in blocks}
    for line in advice:
        edit = BlockEdit("add", after, line)
        if line.strip() not in texts and not tries.get(apply_edits(head, [edit]).id):
            return [edit]
    return []


@dataclass
class Payoffs:
    """What each operator has brought, for the evaluations that it took."""

    gains: dict[Operator, float] = field(default_factory=dict[Operator, float])
    calls: dict[Operator, int] = field(default_factory=dict[Operator, int])

    def count(self, operator: Operator, calls: int, gain: float) -> None:
        """Count an attempt."""
        self.calls[operator] = self.calls.get(operator, 0) + calls
        self.gains[operator] = self.gains.get(operator, 0.0) + gain

    def choose(self, draw: random.Random, operators: Sequence[Operator]) -> Operator:
        """Return an operator, by chance weighted with its gain for a call."""
        weights = [
            (self.gains.get(operator, 0.0) + _PRIOR[operator])
            / (self.calls.get(operator, 0) + PRIOR_CALLS)
            for operator in operators
        ]
        return draw.choices(operators, weights)[0]


_PRIOR: Final[Mapping[Operator, float]] = {
    Operator.REFLECT: 0.1,
    Operator.DEMONSTRATE: 0.1,
    Operator.ADVISE: 0.03,
    Operator.RESTART: 0.02,
    Operator.ADOPT: 0.02,
    Operator.COMPRESS: 0.005,
    Operator.PARAPHRASE: 0.02,
    Operator.RESTATE: 0.04,
}
