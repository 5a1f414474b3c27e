"""Reviews: half of the outputs are shown for what their labels teach, half at random, all blind.

The labels of the random half that came after a judge was made took no part in making it. They tell
how far it agrees with the person, on the outputs that took no part.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from kiln_mcp.evaluators.clause_verdicts import read_clause_lines, split_of_items
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import AT_RANDOM, INFORMATIVE, JUDGED, DrawnStratum, Label
from kiln_mcp.statistics.review_draws import (
    ReviewAgreement,
    draw_review,
    labels_to_reach,
    review_agreement,
)
from storage import EvalOutputScore, ProjectStore

USUAL_GOAL: Final = 0.9
"""The agreement that a review aims at, unless the person names another one."""


async def read_information(store: ProjectStore, labelling: LabellingPass) -> dict[str, float]:
    """Return how much a label of each item would teach: how far the verdicts on it are apart.

    All evals of the pass count, and the verdicts of panels on clauses.
    """
    information = dict.fromkeys(labelling.runs, 0.0)
    lines = await read_clause_lines(store, labelling.task)
    for item, split in split_of_items(lines).items():
        if item in information:
            information[item] += split
    for golden_set in labelling.golden_sets:
        matrix = await read_verdict_matrix(store, golden_set.task_eval.eval_record)
        for score in golden_set.scores:
            decisions = matrix.decisions(matrix.members, score.json_key, score.type)
            for item in information.keys() & decisions.keys():
                information[item] += _split(decisions[item])
    return information


def _split(decisions: list[float]) -> float:
    """Return how far decisions are apart, from 0 to 1: how often two of them differ."""
    count = len(decisions)
    if count < 2:
        return 0.0
    equal = sum(decisions.count(value) ** 2 for value in set(decisions)) / count**2
    return min(1.0, 2 * (1 - equal))


def review_strata(
    information: Mapping[str, float], count: int, seed: int, exclusions: frozenset[str]
) -> dict[str, DrawnStratum]:
    """Draw the items of a review: two strata of one pool.

    Args:
        information: How much a label of each item of the pool would teach.
        count: How many items.
        seed: Repeats the draw over the same pool.
        exclusions: Items that are not drawn.
    """
    drawn = draw_review(information, count, seed, exclusions)
    open_count = len(information.keys() - exclusions)
    return {
        name: DrawnStratum(size=len(information), open=open_count, drawn=tuple(items))
        for name, items in ((INFORMATIVE, drawn.informative), (AT_RANDOM, drawn.at_random))
    }


def review_labels(
    golden_set: GoldenSet, score: EvalOutputScore, since: datetime
) -> tuple[dict[str, Label], frozenset[str]]:
    """Return the labels that took no part in what was made at a time, and the items that did.

    Args:
        golden_set: The golden set.
        score: The score.
        since: When the judge, or the spec, was made as it is.

    Returns:
        The labels of random halves since then by item, and the items with another label.
    """
    draws = {draw.id for draw in golden_set.draws if draw.purpose == "review"}
    fresh_labels: dict[str, Label] = {}
    other_items: set[str] = set()
    for label in golden_set.labels:
        if label.score != score.json_key or label.item not in golden_set.ids:
            continue
        is_of_review = label.draw in draws and label.stratum == AT_RANDOM
        if label.state == "withdrawn":
            fresh_labels.pop(label.item, None)
        elif label.state in JUDGED and is_of_review and label.at > since:
            fresh_labels[label.item] = label
        elif label.state in JUDGED and label.purpose != "repeat":
            other_items.add(label.item)
    other_items |= {
        run.id
        for run in golden_set.runs
        if run.id not in fresh_labels and golden_set.state(run, score) is not None
    }
    return (
        {item: label for item, label in fresh_labels.items() if item not in other_items},
        frozenset(other_items),
    )


def agreement_in_review(
    golden_set: GoldenSet,
    score: EvalOutputScore,
    verdicts: Mapping[str, float],
    since: datetime,
    goal: float,
) -> ReviewAgreement:
    """Return how far a judge agrees with the person on outputs that took no part in making it.

    What cannot be judged does not count; where each value can be defended, nothing differs. An
    output without a verdict counts like one without a label.

    Args:
        golden_set: The golden set.
        score: The score.
        verdicts: The judge's verdicts by item.
        since: When the judge was made as it is.
        goal: The agreement that the person asks for.

    Raises:
        ValueError: The goal lies outside (0, 1].
    """
    labels, other_items = review_labels(golden_set, score, since)
    pool = golden_set.ids - other_items
    pool -= {item for item, label in labels.items() if label.state == "cannot_judge"}
    usable_labels = {i: label for i, label in labels.items() if i in pool and i in verdicts}
    agreements = sum(
        label.value is None or decision_of(verdicts[item], score.type) == label.value
        for item, label in usable_labels.items()
    )
    return review_agreement(agreements, len(usable_labels), len(pool), goal)


def agreement_sentence(name: str, agreement: ReviewAgreement, pool: int) -> str:
    """Return how far a judge agrees with the person, and what it takes to reach the goal.

    Args:
        name: The judge's name.
        agreement: Its agreement with labels that took no part in making it, one of them at least.
        pool: The outputs that labels are drawn from.
    """
    interval, goal = agreement.interval, f"{agreement.goal:.0%}"
    sentence = (
        f"{name} agrees on {agreement.agreements} of {agreement.labels} random outputs that took "
        f"no part in making it: {interval.low:.0%} to {interval.high:.0%} of all such outputs."
    )
    if agreement.is_reached:
        return f"{sentence} {goal} are reached: no more labels are needed for that."
    if agreement.is_out_of_reach:
        return f"{sentence} {goal} are out of reach for it: the spec or the judge has to change."
    labels = labels_to_reach(agreement.goal, pool, agreement.share)
    if labels is None or labels <= agreement.labels:
        return f"{sentence} {goal} are not shown yet."
    return f"{sentence} About {labels} such labels would show {goal}."
