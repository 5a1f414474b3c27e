"""Earlier edits that the head has not: what a search takes up again, merged into the head."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.evolution.engine.anchors import Anchors
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, Block, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit, rebase, touched_texts
from kiln_mcp.evolution.engine.knowledge import SPEAKS, Knowledge, Observation
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.words import Words, words_of

BETTER_BONUS: Final = 2.0
"""An edit that was confirmed to be better on some item is as likely as so many others."""


@dataclass(frozen=True, slots=True)
class PastEdit:
    """An edit of an earlier proposal.

    Attributes:
        base: The candidate that it was made for.
        edits: The edit, or all edits of one proposal.
        texts: What it touches.
        decision: What became of the proposal.
    """

    base: Candidate
    edits: Sequence[BlockEdit]
    texts: Sequence[str]
    decision: Decision

    @property
    def words(self) -> Words:
        """The words of what it touches."""
        return words_of("\n".join(self.texts))


@dataclass
class Archive:
    """The edits of all proposals that were tried."""

    edits: dict[tuple[str, ...], PastEdit] = field(default_factory=dict[tuple[str, ...], PastEdit])

    def keep(self, base: Candidate, edits: Sequence[BlockEdit], decision: Decision) -> None:
        """Keep a proposal as a whole and, of several edits, each by itself."""
        for part in [edits, *([[edit] for edit in edits] if len(edits) > 1 else [])]:
            texts = tuple(touched_texts(part, base))
            earlier = self.edits.get(texts)
            if earlier is None or earlier.decision.better_on < decision.better_on:
                self.edits[texts] = PastEdit(base, tuple(part), texts, decision)

    def choose(
        self,
        draw: random.Random,
        head: Candidate,
        failing: Sequence[Observation],
        knowledge: Knowledge,
        tried_ids: Iterable[str],
    ) -> PastEdit | None:
        """Return an edit that speaks of what fails now and gives a candidate not tried yet.

        The more value the items have that it speaks of, the likelier it is. Edits of candidates
        that were better somewhere are likelier: those stand in the Pareto set over items.
        """
        known_ids = set(tried_ids)
        options: list[tuple[float, PastEdit]] = []
        for past in self.edits.values():
            words = past.words
            mass = sum(1 - o.value for o in failing if knowledge.speaks_of(words, o) >= SPEAKS)
            if mass <= 0:
                continue
            merged = rebase(past.edits, past.base, head).candidate
            if merged.id in known_ids:
                continue
            is_better = past.decision.better_on > 0
            options.append((mass * (BETTER_BONUS if is_better else 1.0), past))
        if not options:
            return None
        return draw.choices([past for _, past in options], [mass for mass, _ in options])[0]


def deletion(
    draw: random.Random, head: Candidate, anchors: Anchors, tried_ids: Iterable[str]
) -> tuple[Block, Candidate] | None:
    """Return a block that may be left out, and the candidate without it; None if there is none.

    Longer blocks are likelier. Demonstrations have moves of their own.
    """
    known_ids = set(tried_ids)
    options: list[tuple[Block, Candidate]] = []
    for block in head.blocks:
        rest = tuple(other for other in head.blocks if other is not block)
        shorter = Candidate(rest)
        is_last = all(other.component != block.component for other in rest)
        if block.component == DEMONSTRATIONS or not block.text.strip() or is_last:
            continue
        if shorter.id not in known_ids and not anchors.objection(shorter):
            options.append((block, shorter))
    if not options:
        return None
    return draw.choices(options, [len(block.text.split()) for block, _ in options])[0]
