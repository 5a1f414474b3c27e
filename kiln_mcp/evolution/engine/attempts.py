"""Attempts that begin with no failure: edits taken up again, shorter texts, other words."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from kiln_mcp.evolution.engine.anchors import find_copy
from kiln_mcp.evolution.engine.archive import PastEdit, deletion
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, INSTRUCTION, Block, Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.knowledge import BEST, SPEAKS, Observation
from kiln_mcp.evolution.engine.operators import Operator, advise, choose_demonstrations
from kiln_mcp.evolution.engine.steps import Answer, Work, ask, run_trials
from kiln_mcp.evolution.engine.tournament import hold_tournament, most_entrants
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.values import Case, Item, ProposalRequest
from kiln_mcp.evolution.engine.words import Words, words_of

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.search import Search

EXPLORED: Final = 2
"""Items that are new to the search, with each reflection."""
VALIDATION_LOOK: Final = 8
"""Validation items of one look."""
RELATED: Final = 8
"""Training items that are run without a rule that is to be restated."""
RESTATED: Final = 6
"""Cases that a rule is restated from."""
SHOWN: Final = 4
"""Failures that go with a text which is to be said in other words."""
GLOBAL: Final[Words] = frozenset()
"""The words of an edit that speaks of every item."""


def add(search: "Search", operator: Operator) -> Work[float | None]:
    """Add demonstrations, or a line of advice."""
    yield from _look_first(search)
    if operator is Operator.DEMONSTRATE:
        yield from search.look(search.unseen(EXPLORED))
    if not search.knowledge.failing([*search.train, *search.val]):
        fresh = search.unseen(VALIDATION_LOOK)
        yield from search.look(fresh)
        return 0.0 if fresh else _nothing_left(search, operator)
    base = search.trunk.head
    is_demonstration = operator is Operator.DEMONSTRATE
    if is_demonstration and not search.scheduler.can_ask and most_entrants(search):
        return (yield from _enter_tournament(search, base))
    if operator is Operator.ADVISE:
        edits = advise(base, search.advice, search.tries)
    else:
        pool = search.demonstrations.pool(search.knowledge, search.train)
        edits = choose_demonstrations(search.draw, base, pool, search.demonstrations.topics)
    if not edits:
        return _nothing_left(search, operator)
    return (yield from _try_general(search, operator, base, edits))


def _enter_tournament(search: "Search", base: Candidate) -> Work[float | None]:
    """Race the best of many sets of examples: where nobody edits, they are what can be tried."""
    outcome = yield from hold_tournament(search, base)
    if not outcome.entrants:
        return _nothing_left(search, Operator.DEMONSTRATE)
    if not outcome.edits:
        return 0.0
    operator = Operator.DEMONSTRATE
    return (yield from _try_general(search, operator, base, outcome.edits, outcome.items))


def _try_general(
    search: "Search",
    operator: Operator,
    base: Candidate,
    edits: list[BlockEdit],
    items: Sequence[str] = (),
) -> Work[float | None]:
    """Race edits that speak of every item."""
    name = digest(base.id, *(f"{e.operation} {e.block} {e.text}" for e in edits))
    decision = Decision(name, operator, accepted=False, reason="", items=items)
    return (yield from search.try_edits(base, edits, decision, GLOBAL))


def _look_first(search: "Search") -> Work[None]:
    """Run the head on some validation items, unless that was done."""
    if len(search.knowledge.of(search.val)) < VALIDATION_LOOK:
        yield from search.look_at_guards()


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


def restate(search: "Search") -> Work[float | None]:
    """Have a rule restated from all the cases that it is about.

    A rule that was learned from few cases often holds for these alone. It is left out, training
    items that may need it are run without it, and an edit is asked for with what fails there.
    Validation items only choose the rule: no proposal is made from them.
    """
    yield from search.look_at_guards()
    head, knowledge = search.trunk.head, search.knowledge
    failing = knowledge.failing([*search.train, *search.val])
    block = _narrow_block(search, failing)
    if block is None:
        return _nothing_left(search, Operator.RESTATE)
    if not search.account.take_proposal():
        return 0.0
    number = search.account.proposals
    base = Candidate(tuple(other for other in head.blocks if other is not block))
    words = words_of(block.text)
    items = _related_items(search, words, block)
    results = yield from run_trials([(base, item) for item in items])
    cases = [
        Case(item, evaluation)
        for item, evaluation in zip(items, results, strict=False)
        if evaluation.scores and knowledge.value(evaluation) < BEST
    ][:RESTATED]
    if not cases:
        return 0.0
    names = [case.item.id for case in cases]
    request = ProposalRequest(
        id=f"g{number}-{digest(search.name, base.id, *names)}",
        operator=Operator.RESTATE.value,
        candidate=base,
        component=block.component,
        failures=cases,
        number=number,
    )
    answer = yield from ask(request)
    decision = Decision(request.id, Operator.RESTATE, accepted=False, reason="", items=names)
    edits = search.usable_edits(answer, base, block.component)
    copy = find_copy(edits, base, cases)
    if copy or not edits:
        reason = f"It copies {copy!r} from a case." if copy else "The answer is no usable edit."
        search.decide(decision, reason)
        return 0.0
    decision = replace(decision, lesson=reason_of(answer))
    edits = [BlockEdit("delete", block.id, component=block.component), *edits]
    return (yield from search.try_edits(head, edits, decision, words_of(block.text)))


def _narrow_block(search: "Search", failing: Sequence[Observation]) -> Block | None:
    """Return a block that speaks of what fails though it stands there; None if none does."""
    head, options = search.trunk.head, list[tuple[float, Block]]()
    for block in head.blocks:
        is_last = len(head.blocks_of(block.component)) < 2
        if block.component == DEMONSTRATIONS or is_last or not block.text.strip():
            continue
        words = words_of(block.text)
        mass = sum(1 - o.value for o in failing if search.knowledge.speaks_of(words, o) >= SPEAKS)
        if mass > 0:
            options.append((mass, block))
    if not options:
        return None
    return search.draw.choices([block for _, block in options], [mass for mass, _ in options])[0]


def _related_items(search: "Search", words: Words, block: Block) -> list[Item]:
    """Return training items that may need a block: those that it was made for come first."""
    text = block.text.strip()
    makers = [d for d in search.trunk.edits if text in {t.strip() for t in d.texts}]
    names = {name for decision in makers for name in decision.items}
    items = list(search.train)
    search.draw.shuffle(items)
    items.sort(key=lambda i: (i.id not in names, -round(search.knowledge.concerns(words, i), 1)))
    return items[:RELATED]


def compress(search: "Search") -> Work[float | None]:
    """Leave a block out: it is won if nothing falls."""
    yield from _look_first(search)
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
