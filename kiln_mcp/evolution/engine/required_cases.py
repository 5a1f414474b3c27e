"""Required cases: items on which no candidate may do worse than the start.

A child that wins its race is run on all of them. Where it is lower than the start in some score,
both are run again, and what counts is the mean of two runs: one run may be luck.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.race import BUDGET_ENDED
from kiln_mcp.evolution.engine.steps import Work, run_trials
from kiln_mcp.evolution.engine.values import Evaluation, Item

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.search import Search

Scores = Mapping[str, float]


def find_fall(
    search: "Search", child: Candidate, race_results: Mapping[str, Evaluation]
) -> Work[str]:
    """Return where a child falls below the start, as a sentence; "" if nowhere.

    Args:
        search: Has the required cases, and what the start scored.
        child: The candidate.
        race_results: What it made of items in its race, by the item's id.
    """
    start_scores, start = search.knowledge.start_scores, search.trunk.heads[0]
    items = [item for item in (*search.train, *search.val) if item.id in search.anchors.items]
    unknown = [item for item in items if item.id not in start_scores]
    first_runs = yield from run_trials([(start, item) for item in unknown])
    for item, evaluation in zip(unknown, first_runs, strict=False):
        if evaluation.scores:
            start_scores[item.id] = evaluation.scores
    new = [item for item in items if item.id not in race_results]
    results = yield from run_trials([(child, item) for item in new])
    if len(first_runs) < len(unknown) or len(results) < len(new):
        return BUDGET_ENDED
    own = {**race_results, **{item.id: e for item, e in zip(new, results, strict=True)}}
    falls = [item for item in items if _is_lower(own[item.id].scores, start_scores.get(item.id))]
    repeats = yield from run_trials([(c, item) for item in falls for c in (start, child)])
    for place, item in enumerate(falls):
        pair = repeats[2 * place : 2 * place + 2]
        if len(pair) < 2 or _is_still_lower(own[item.id].scores, start_scores[item.id], pair):
            return _sentence(item)
    return ""


def _is_lower(scores: Scores, start: Scores | None) -> bool:
    """Return whether a score is lower or missing; False if the start has none itself."""
    return any(scores.get(name, -1.0) < value for name, value in (start or {}).items())


def _is_still_lower(scores: Scores, start: Scores, pair: Sequence[Evaluation]) -> bool:
    """Return whether the scores of two runs each are lower in the mean."""
    first, second = (evaluation.scores for evaluation in pair)
    sums = {name: value + first.get(name, value) for name, value in start.items()}
    own = {name: scores[name] + second[name] for name in start if name in scores and name in second}
    return _is_lower(own, sums)


def _sentence(item: Item) -> str:
    name = item.text.split("\n", 1)[0][:60] or item.id
    return f"It falls on a required case: {name!r}."
