"""A tournament of sets of examples: all on a few items, the better half of them on more.

Sets of examples differ much, and nothing tells beforehand which is good. To race each against the
head would spend a budget on few sets. Here all are run on the same items, so that the sums tell
sets apart and not items.

Source:
    Jamieson and Talwalkar (2016), Non-stochastic Best Arm Identification: successive halving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.edits import BlockEdit, rebase, touched_texts
from kiln_mcp.evolution.engine.operators import (
    MOST_DEMONSTRATIONS,
    Operator,
    choose_demonstrations,
)
from kiln_mcp.evolution.engine.steps import Work, run_trials
from kiln_mcp.evolution.engine.trunk import Decision
from kiln_mcp.evolution.engine.values import Item

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.search import Search

ROUNDS: Final = (3, 6, 9, 12)
"""Items of each round; after it the better half goes on."""
MOST_ENTRANTS: Final = 40
FEWEST_ENTRANTS: Final = 4
"""For fewer no further outputs are looked for that could be shown."""
FINAL_RACE: Final = 16
"""Evaluations that are kept for a race of the best set against the head."""
DRAWS: Final = 8
"""Draws for each entrant: some give sets that were tried."""
LOOK: Final = 8
ENOUGH_EXAMPLES: Final = 2 * MOST_DEMONSTRATIONS


DROPPED: Final = "Other examples scored higher on the same items."
NO_BETTER: Final = "The head scored as high on the same items."


@dataclass(slots=True)
class Entrant:
    """The head with a set of examples.

    Attributes:
        candidate: It.
        edits: What makes it of the head; none for the head itself.
        total: The sum of its values so far.
    """

    candidate: Candidate
    edits: list[BlockEdit]
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tournament came to.

    Attributes:
        edits: What makes the best set of the head; none if the head is as good.
        items: Ids of the items that chose it.
        entrants: Sets that took part.
    """

    edits: list[BlockEdit]
    items: list[str]
    entrants: int


def evaluations_for(entrants: int) -> int:
    """Return the evaluations that so many sets take, with the final race."""
    sizes = [1 + -(-entrants // 2**number) for number in range(len(ROUNDS))]
    rounds = zip(_rounds_of(entrants), sizes, strict=False)
    return FINAL_RACE + sum(items * size for items, size in rounds)


def most_entrants(search: "Search") -> int:
    """Return how many sets the budget can tell apart; fewer than two are no tournament.

    What a cache has saved counts as used until the rest is too little: so a search that is
    repeated takes the same path.
    """
    budget = search.account.budget
    remaining = search.account.remaining // budget.evaluation
    evaluations = (budget.calls - budget.reserve) // budget.evaluation
    planned_rest = evaluations - search.scheduler.evaluation_count
    sizes = range(MOST_ENTRANTS, 1, -1)
    counts = [
        next((size for size in sizes if evaluations_for(size) <= left), 0)
        for left in (min(planned_rest, remaining), remaining)
    ]
    return counts[0] or counts[1]


def _rounds_of(entrants: int) -> Sequence[int]:
    """Return the items of each round that so many sets need until one is left."""
    return ROUNDS[: (entrants - 1).bit_length()]


def hold_tournament(search: "Search", base: Candidate) -> Work[Outcome]:
    """Return the best of as many sets of examples as the budget can tell apart."""
    yield from _look_for_examples(search)
    entrants = _draw_entrants(search, base)
    count, items = len(entrants), _items_for(search, entrants, base)
    head, names = Entrant(base, []), list[str]()
    for size in _rounds_of(count):
        chunk, items = items[:size], items[size:]
        if not chunk:
            break
        is_complete = yield from _run_round(search, [head, *entrants], chunk)
        if not is_complete:
            break
        names += [item.id for item in chunk]
        entrants.sort(key=lambda entrant: -entrant.total)
        half = -(-len(entrants) // 2)
        _drop(search, head, entrants[half:], names, DROPPED)
        entrants = entrants[:half]
    is_won = bool(entrants) and entrants[0].total > head.total
    _drop(search, head, entrants[is_won:], names, DROPPED if is_won else NO_BETTER)
    return Outcome(entrants[0].edits if is_won else [], names, count)


def _drop(
    search: "Search", head: Entrant, entrants: list[Entrant], items: list[str], reason: str
) -> None:
    """Log the sets that do not go on."""
    for entrant in entrants:
        decision = Decision(
            f"t-{entrant.candidate.id}",
            Operator.DEMONSTRATE,
            accepted=False,
            reason="",
            candidate=entrant.candidate.id,
            onto=head.candidate.id,
            texts=touched_texts(entrant.edits, head.candidate),
            items=items,
            gain=round((entrant.total - head.total) / max(1, len(items)), 4),
        )
        search.decide(decision, reason, entrant.candidate)


def _look_for_examples(search: "Search") -> Work[None]:
    """Run the head on training items while too few outputs can be shown."""
    while new := search.unseen(LOOK):
        pool = search.demonstrations.pool(search.knowledge, search.train)
        if len(pool) >= ENOUGH_EXAMPLES or most_entrants(search) < FEWEST_ENTRANTS:
            return
        yield from search.look(new)


def _draw_entrants(search: "Search", base: Candidate) -> list[Entrant]:
    """Return sets that were not tried, as many as the budget is enough for."""
    count = most_entrants(search)
    pool = search.demonstrations.pool(search.knowledge, search.train)
    entrants = dict[str, Entrant]()
    for _ in range(DRAWS * count):
        edits = choose_demonstrations(search.draw, base, pool, search.demonstrations.topics)
        child = rebase(edits, base, base).candidate
        is_tried = child.id in search.candidates or search.anchors.objection(child)
        if edits and not is_tried:
            entrants.setdefault(child.id, Entrant(child, edits))
        if len(entrants) >= count:
            break
    search.candidates.update((entry.candidate.id, entry.candidate) for entry in entrants.values())
    return [*entrants.values()]


def _items_for(search: "Search", entrants: list[Entrant], base: Candidate) -> list[Item]:
    """Return the items that no entrant shows, in an order by chance."""
    example_ids = {*base.demonstrations}.union(*(e.candidate.demonstrations for e in entrants))
    items = [item for item in (*search.train, *search.val) if item.id not in example_ids]
    search.draw.shuffle(items)
    return items


def _run_round(search: "Search", entrants: list[Entrant], items: list[Item]) -> Work[bool]:
    """Run all on items and add up what they score; return whether the budget was enough."""
    knowledge, age = search.knowledge, search.trunk.age
    # One after the other: what a set begins with is read once.
    pairs = [(entrant, item) for entrant in entrants for item in items]
    results = yield from run_trials([(entrant.candidate, item) for entrant, item in pairs])
    if len(results) < len(pairs):
        return False
    for (entrant, item), evaluation in zip(pairs, results, strict=True):
        entrant.total += knowledge.value(evaluation) if evaluation.scores else 0.0
        if not entrant.edits:
            knowledge.observe(item, evaluation, age)
    return True
