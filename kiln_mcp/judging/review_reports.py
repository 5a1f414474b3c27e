"""What a review shows: how far judges agree with the person on outputs that took no part."""

from collections.abc import Iterator, Sequence
from typing import Final

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.lookups import load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.labels.entries import EvalLabels
from kiln_mcp.labels.reviews import agreement_in_review
from kiln_mcp.statistics.review_draws import ReviewAgreement, labels_to_reach
from storage import EvalOutputScore, ProjectStore

USUAL_GOAL: Final = 0.9
"""The agreement that a report names the labels for."""
_MOST_ITEMS: Final = 5
"""Items that a sentence names."""


async def review_sentences(store: ProjectStore, labels: Sequence[EvalLabels]) -> list[str]:
    """Return how far the current judges agree with the labels of reviews so far.

    Args:
        store: The project.
        labels: What was saved now, with the golden sets after it.
    """
    sentences: list[str] = []
    for part in labels:
        if not any(entry.purpose == "review" for entry in part.entries):
            continue
        try:
            judge = await load_measurement(store, part.golden_set.task_eval, None)
        except NothingToEvaluate:
            continue
        for score in part.golden_set.scores:
            sentences += await _sentences(judge, part, score)
    return sentences


async def _sentences(judge: Measurement, part: EvalLabels, score: EvalOutputScore) -> list[str]:
    golden_set, verdicts = part.golden_set, await judge.stored_scores(score.json_key)
    since = judge.evaluator_record.created_at
    agreement = agreement_in_review(golden_set, score, verdicts, since, USUAL_GOAL)
    name = f"{judge.evaluator_record.name!r} ({score.name})"
    if not agreement.labels:
        return [
            f"{name} has no verdict yet of a random output that was labelled after it was made; "
            "measuring the judge asks for them."
        ]
    pool = len(golden_set.ids)
    return [_agreement_sentence(name, agreement, pool), *_differences(part, score, verdicts)]


def _agreement_sentence(name: str, agreement: ReviewAgreement, pool: int) -> str:
    interval = agreement.interval
    sentence = (
        f"{name} agrees on {agreement.agreements} of {agreement.labels} random outputs that took "
        f"no part in making it: {interval.low:.0%} to {interval.high:.0%} of all such outputs."
    )
    if agreement.is_reached:
        return f"{sentence} {agreement.goal:.0%} are reached."
    label_count = labels_to_reach(agreement.goal, pool, agreement.share)
    if agreement.is_out_of_reach or label_count is None or label_count <= agreement.labels:
        return sentence
    return f"{sentence} About {label_count} such labels would show {agreement.goal:.0%}."


def _differences(
    part: EvalLabels, score: EvalOutputScore, verdicts: dict[str, float]
) -> Iterator[str]:
    """Yield the outputs labelled now whose verdict differs and whose label has no reason."""
    items = [
        entry.item
        for entry in part.entries
        if entry.score == score.json_key
        and entry.value is not None
        and entry.item in verdicts
        and decision_of(verdicts[entry.item], score.type) != entry.value
        and not entry.reason
    ]
    if items:
        yield (
            f"The judge differs on {', '.join(items[:_MOST_ITEMS])}"
            f"{' and others' if len(items) > _MOST_ITEMS else ''}: ask the person why, and label "
            "them again with the reason."
        )
