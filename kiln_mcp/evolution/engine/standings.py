"""What a search has seen of each candidate: scores, cost and time, and the Pareto set over them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import Final

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.knowledge import value_of
from kiln_mcp.evolution.engine.trunk import Trunk
from kiln_mcp.evolution.engine.values import Evaluation, Goal
from kiln_mcp.statistics import pareto_front

Evaluations = Mapping[tuple[str, str, int], Evaluation]
"""By candidate, item and repeat."""

FEWEST_ITEMS: Final = 8
"""Items that a candidate must have been run on to stand in the Pareto set."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was seen of a candidate.

    Candidates were run on different items. On an item that one was not run on it counts as the
    nearest best candidate that was: the edits between the two mostly leave it alone.

    Attributes:
        candidate: The candidate.
        items: Items that it was run on itself.
        scores: Each score's mean over all items of the search, from 0 to 1.
        cost_usd: What one evaluation of it costs.
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
    trunk: Trunk, candidates: Iterable[Candidate], evaluations: Evaluations
) -> list[Standing]:
    """Return what was seen of candidates, the Pareto set marked.

    Start and best may stand in the set however few items they were run on.
    """
    places = {head.id: place for place, head in enumerate(trunk.heads)}
    origins = {d.candidate: places[d.onto] for d in trunk.decisions if d.onto in places}
    by_candidate: dict[str, dict[str, list[Evaluation]]] = defaultdict(dict)
    for (candidate, item, _), evaluation in evaluations.items():
        if evaluation.scores:
            by_candidate[candidate].setdefault(item, []).append(evaluation)
    means = {
        candidate: {item: _means(own) for item, own in by_item.items()}
        for candidate, by_item in by_candidate.items()
    }
    of_heads = [means.get(head.id, {}) for head in trunk.heads]
    items = {item for by_item in means.values() for item in by_item}
    rows: list[Standing] = []
    for candidate in candidates:
        own = means.get(candidate.id)
        if own is None:
            continue
        runs = [e for evaluations in by_candidate[candidate.id].values() for e in evaluations]
        place = places.get(candidate.id, origins.get(candidate.id, 0))
        # The nearest best candidates: earlier ones first, the newest of them before all.
        near = [own, *reversed(of_heads[: place + 1]), *of_heads[place + 1 :]]
        score_rows = [next((m[item] for m in near if item in m), None) for item in sorted(items)]
        rows.append(
            Standing(
                candidate=candidate,
                items=len(own),
                scores=_mean_scores([scores for scores in score_rows if scores is not None]),
                cost_usd=fmean(e.cost_usd for e in runs),
                seconds=fmean(e.seconds for e in runs),
            )
        )
    return _with_front(rows, {trunk.heads[0].id, trunk.head.id})


def _means(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    return _mean_scores([evaluation.scores for evaluation in evaluations])


def _mean_scores(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each score over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: fmean(row[name] for row in rows if name in row) for name in names}


def noise_of(evaluations: Evaluations, goals: Mapping[str, Goal]) -> tuple[float, int]:
    """Return the variance of a candidate's value on one item, and how many repeats tell it."""
    by_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (candidate, item, _), evaluation in evaluations.items():
        if evaluation.scores:
            by_pair[candidate, item].append(value_of(evaluation.scores, goals))
    repeats = [own for own in by_pair.values() if len(own) > 1]
    weight = sum(len(own) - 1 for own in repeats)
    noise = sum(variance(own) * (len(own) - 1) for own in repeats) / weight if weight else 0.0
    return noise, weight


def _with_front(rows: Sequence[Standing], kept_ids: Iterable[str]) -> list[Standing]:
    rows_to_compare = [
        row for row in rows if row.items >= FEWEST_ITEMS or row.candidate.id in kept_ids
    ]
    names = dict.fromkeys(name for row in rows_to_compare for name in row.scores)
    points = [
        [*(row.scores.get(name, 0.0) for name in names), -row.cost_usd, -row.seconds]
        for row in rows_to_compare
    ]
    front = (
        {rows_to_compare[place].candidate.id for place in pareto_front(points)}
        if rows_to_compare
        else set[str]()
    )
    return [replace(row, is_on_front=row.candidate.id in front) for row in rows]
