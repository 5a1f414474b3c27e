"""Attempts that begin with no failure: edits taken up again, shorter texts, other words."""

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from kiln_mcp.evolution.engine.archive import PastEdit, deletion
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, INSTRUCTION
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.knowledge import BEST
from kiln_mcp.evolution.engine.operators import Operator, advise, choose_demonstrations
from kiln_mcp.evolution.engine.steps import Answer, Work, ask
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.values import Case, ProposalRequest
from kiln_mcp.evolution.engine.words import Words, words_of

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.search import Search

EXPLORED: Final = 2
"""Items that are new to the search, with each reflection."""
VALIDATION_LOOK: Final = 8
"""Validation items of one look."""
SHOWN: Final = 4
"""Failures that go with a text which is to be said in other words."""
GLOBAL: Final[Words] = frozenset()
"""The words of an edit that speaks of every item."""


def add(search: "Search", operator: Operator) -> Work[float | None]:
    """Add demonstrations, or a line of advice."""
    if len(search.knowledge.of(search.val)) < VALIDATION_LOOK:
        yield from search.look_at_guards()
    if operator is Operator.DEMONSTRATE:
        yield from search.look(search.selection.unseen(EXPLORED))
    if not search.knowledge.failing([*search.train, *search.val]):
        return None
    base = search.trunk.head
    if operator is Operator.ADVISE:
        edits = advise(base, search.advice, search.turns.failures_in_row[operator])
    else:
        pool = search.demonstrations.pool(search.knowledge, search.train)
        edits = choose_demonstrations(search.draw, base, pool, search.demonstrations.topics)
    if not edits:
        return _nothing_left(search, operator)
    name = digest(base.id, *(f"{e.operation} {e.block} {e.text}" for e in edits))
    decision = Decision(name, operator, accepted=False, reason="")
    return (yield from search.try_edits(base, edits, decision, GLOBAL))


def restart(search: "Search") -> Work[float | None]:
    """Take up an edit of an earlier candidate that speaks of what fails now.

    Validation items may choose, so their failures count here as well.
    """
    new = yield from search.look_at_guards()
    head = search.trunk.head
    failing = search.knowledge.failing([*search.train, *search.val])
    past = search.archive.choose(search.draw, head, failing, search.knowledge, search.candidates)
    if past is None:
        return None if new else _nothing_left(search, Operator.RESTART)
    return (yield from take_up(search, past, Operator.RESTART))


def take_up(search: "Search", past: PastEdit, operator: Operator) -> Work[float | None]:
    """Try an edit of an earlier candidate, or of another model's, on the head."""
    if operator is Operator.ADOPT:
        # What it speaks of may be found to fail later.
        search.archive.keep(past.base, past.edits, past.decision)
    name = f"r-{digest(search.name, search.trunk.head.id, *past.texts)}"
    decision = Decision(name, operator, accepted=False, reason="", lesson=past.decision.lesson)
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


def digest(*parts: str) -> str:
    """Return an id that is the same when a search is repeated."""
    return blake2b("\x1f".join(parts).encode(), digest_size=6).hexdigest()


def _nothing_left(search: "Search", operator: Operator) -> float:
    search.turns.exhaust(operator)
    return 0.0
