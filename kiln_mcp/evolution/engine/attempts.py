"""Attempts that begin with no failure: edits taken up again, shorter texts, other words."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from kiln_mcp.evolution.engine.archive import deletion
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, INSTRUCTION, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.knowledge import BEST, unseen
from kiln_mcp.evolution.engine.operators import Operator
from kiln_mcp.evolution.engine.steps import Answer, Work, ask
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.values import Case, ProposalRequest
from kiln_mcp.evolution.engine.words import Words, words_of

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.search import Search

LOOK: Final = 8
"""Items of a look at what no candidate was run on."""
SHOWN: Final = 4
"""Failures that go with a text which is to be said in other words."""
GLOBAL: Final[Words] = frozenset()
"""The words of an edit that speaks of every item."""


def restart(search: "Search") -> Work[float | None]:
    """Take up an edit of an earlier candidate that speaks of what fails now.

    Validation items may choose, so their failures count here as well.
    """
    new = [
        item for item in unseen(search.knowledge, search.val) if not search.selection.items[item.id]
    ]
    yield from search.look(new[:LOOK])
    head = search.trunk.head
    failing = search.knowledge.failing([*search.train, *search.val])
    past = search.archive.choose(search.draw, head, failing, search.knowledge, search.candidates)
    if past is None:
        return None if new else _nothing_left(search, Operator.RESTART)
    name = f"r-{digest(head.id, *past.texts)}"
    decision = Decision(
        name, Operator.RESTART, accepted=False, reason="", lesson=past.decision.lesson
    )
    return (yield from search.try_edits(past.base, past.edits, decision, past.words))


def compress(search: "Search") -> Work[float | None]:
    """Leave a block out: it is won if nothing falls."""
    head = search.trunk.head
    choice = deletion(search.draw, head, search.anchors, search.candidates)
    if choice is None:
        return _nothing_left(search, Operator.COMPRESS)
    block, shorter = choice
    makers = [d for d in search.trunk.edits if block.text.strip() in {t.strip() for t in d.texts}]
    decision = Decision(
        f"c-{digest(shorter.id)}",
        Operator.COMPRESS,
        accepted=False,
        reason="",
        # What it was made for must not fall without it.
        items=[name for decision in makers for name in decision.items],
    )
    edits = [BlockEdit("delete", block.id, component=block.component)]
    return (yield from search.try_edits(head, edits, decision, words_of(block.text)))


def paraphrase(search: "Search") -> Work[float | None]:
    """Ask for a text in other words, and try it on what fails in general."""
    if not search.account.take_proposal():
        return 0.0
    base = search.trunk.head
    names = [name for name in base.components if name != DEMONSTRATIONS] or [INSTRUCTION]
    component = names[search.account.proposals % len(names)]
    entries = search.knowledge.of(search.train)
    failing = [entry for entry in entries if entry.value < BEST][:SHOWN]
    request = ProposalRequest(
        id=f"w{search.account.proposals}-{digest(search.name, base.id, component)}",
        operator=Operator.PARAPHRASE.value,
        candidate=base,
        component=component,
        failures=[Case(entry.item, entry.evaluation) for entry in failing],
        successes=[Case(e.item, e.evaluation) for e in entries if e.value >= BEST][-1:],
        number=search.account.proposals,
    )
    answer = yield from ask(request)
    decision = Decision(request.id, Operator.PARAPHRASE, accepted=False, reason="")
    edits = search.usable_edits(answer, base, component)
    if not edits:
        search.decide(decision, "The answer is no usable edit.")
        return 0.0
    decision = replace(decision, lesson=reason_of(answer))
    return (yield from search.try_edits(base, edits, decision, GLOBAL))


def reason_of(answer: Answer | None) -> str:
    """Return what an answer is meant to correct."""
    return answer.reason if answer is not None else ""


def size_of(candidate: Candidate) -> int:
    """Return the words of a candidate's texts, its demonstrations left out."""
    names: Sequence[str] = [name for name in candidate.components if name != DEMONSTRATIONS]
    return sum(len(candidate.text_of(name).split()) for name in names)


def digest(*parts: str) -> str:
    """Return an id that is the same when a search is repeated."""
    return blake2b("\x1f".join(parts).encode(), digest_size=6).hexdigest()


def _nothing_left(search: "Search", operator: Operator) -> float:
    search.exhaust(operator)
    return 0.0
