"""What a search has seen of each candidate: scores, cost and time, and the Pareto set over them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, variance
from typing import Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.knowledge import value_of
from kiln_mcp.evolution.engine.values import Evaluation, Goal
from kiln_mcp.statistics import pareto_front

Evaluations = Mapping[tuple[str, str, int], Evaluation]
"""By candidate, item and repeat."""

FEWEST_ITEMS: Final = 8
"""Items that a candidate must have been run on to stand in the Pareto set."""
_ROUNDS: Final = 12
_PRIOR_ITEMS: Final = 2
"""Items' worth of "as good as the others" that a candidate starts with."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was seen of a candidate.

    Candidates were run on different items, so each number is what the candidate would have on all
    of them: the mean of all items, plus how far it lies above what others have on its own items.

    Attributes:
        candidate: The candidate.
        items: Items that it was run on.
        scores: Each score's mean, from 0 to 1.
        cost_usd: What one evaluation costs.
        seconds: How long one output takes.
        is_on_front: Whether no other one is better in one respect and as good in all others.
    """

    candidate: Candidate
    items: int
    scores: Mapping[str, float]
    cost_usd: float
    seconds: float
    is_on_front: bool = False


def standings(
    candidates: Iterable[Candidate], evaluations: Evaluations, always: Iterable[str] = ()
) -> list[Standing]:
    """Return what was seen of candidates, the Pareto set marked.

    Args:
        candidates: The candidates.
        evaluations: What they made of items.
        always: Ids of candidates that may stand in the set however few items they were run on.
    """
    scored = {key: evaluation for key, evaluation in evaluations.items() if evaluation.scores}
    names = list(dict.fromkeys(name for e in scored.values() for name in e.scores))
    tables = {
        name: _adjusted({k: e.scores[name] for k, e in scored.items() if name in e.scores})
        for name in names
    }
    costs = _adjusted({key: evaluation.cost_usd for key, evaluation in scored.items()})
    times = _adjusted({key: evaluation.seconds for key, evaluation in scored.items()})
    items: dict[str, set[str]] = defaultdict(set)
    for candidate, item, _ in scored:
        items[candidate].add(item)
    rows = [
        Standing(
            candidate=candidate,
            items=len(items[candidate.id]),
            scores={name: own[candidate.id] for name, own in tables.items() if candidate.id in own},
            cost_usd=costs[candidate.id],
            seconds=times[candidate.id],
        )
        for candidate in {c.id: c for c in candidates}.values()
        if candidate.id in items
    ]
    return _with_front(rows, names, frozenset(always))


def noise_of(evaluations: Evaluations, goals: Mapping[str, Goal]) -> float:
    """Return the variance of a candidate's value on one item, from all that was run again."""
    by_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (candidate, item, _), evaluation in evaluations.items():
        if evaluation.scores:
            by_pair[candidate, item].append(value_of(evaluation.scores, goals))
    repeats = [own for own in by_pair.values() if len(own) > 1]
    weight = sum(len(own) - 1 for own in repeats)
    return sum(variance(own) * (len(own) - 1) for own in repeats) / weight if weight else 0.0


def _with_front(
    rows: Sequence[Standing], names: Sequence[str], always: frozenset[str]
) -> list[Standing]:
    known = [row for row in rows if row.items >= FEWEST_ITEMS or row.candidate.id in always]
    points = [
        [*(row.scores.get(name, 0.0) for name in names), -row.cost_usd, -row.seconds]
        for row in known
    ]
    front = {known[place].candidate.id for place in pareto_front(points)} if known else set[str]()
    return [replace(row, is_on_front=row.candidate.id in front) for row in rows]


def _adjusted(values: Mapping[tuple[str, str, int], float]) -> dict[str, float]:
    """Return each candidate's mean over all items: an item's and a candidate's part, added.

    Source:
        Friedman and Stuetzle (1981), Projection Pursuit Regression, for backfitting in turns.
    """
    by_candidate: dict[str, list[tuple[str, float]]] = defaultdict(list)
    by_item: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for (candidate, item, _), value in values.items():
        by_candidate[candidate].append((item, value))
        by_item[item].append((candidate, value))
    above = dict.fromkeys(by_candidate, 0.0)
    levels = dict.fromkeys(by_item, 0.0)
    for _ in range(_ROUNDS):
        for item, own in by_item.items():
            levels[item] = mean(value - above[candidate] for candidate, value in own)
        for candidate, own in by_candidate.items():
            total = sum(value - levels[item] for item, value in own)
            above[candidate] = total / (len(own) + _PRIOR_ITEMS)
    level = mean(levels.values()) if levels else 0.0
    return {candidate: level + part for candidate, part in above.items()}
