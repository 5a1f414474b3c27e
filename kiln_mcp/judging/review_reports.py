"""What a review shows: how far judges agree with the person on outputs that took no part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.lookups import load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.labels.entries import EvalLabels
from kiln_mcp.labels.reviews import USUAL_GOAL, agreement_in_review, agreement_sentence
from kiln_mcp.spec_texts.session_files import agreement_goal
from storage import EvalOutputScore, ProjectStore

_MOST_ITEMS: Final = 5
"""Items that a sentence names."""


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """What labels of a review show at once.

    Attributes:
        sentences: How far the current judges agree with the labels of reviews so far.
        differences: Items whose judge differs from a label that has no reason.
    """

    sentences: Sequence[str]
    differences: Sequence[str]


async def review_outcome(store: ProjectStore, labels: Sequence[EvalLabels]) -> ReviewOutcome:
    """Return how far the current judges agree with the labels, and where they differ.

    Args:
        store: The project.
        labels: What was saved now, with the golden sets after it.
    """
    sentences: list[str] = []
    differences: list[str] = []
    for part in labels:
        if not any(entry.purpose == "review" for entry in part.entries):
            continue
        try:
            judge = await load_measurement(store, part.golden_set.task_eval, None)
        except NothingToEvaluate:
            continue
        owner = part.golden_set.task_eval
        goal = await agreement_goal(store, owner.task, owner.eval_record.id) or USUAL_GOAL
        for score in part.golden_set.scores:
            verdicts = await judge.stored_scores(score.json_key)
            own = list(_differences(part, score, verdicts))
            differences += own
            sentences += _sentences(judge, part, (score, verdicts), goal)
            if own:
                sentences.append(_request_for_reasons(own))
    return ReviewOutcome(sentences, list(dict.fromkeys(differences)))


def _sentences(
    judge: Measurement,
    part: EvalLabels,
    column: tuple[EvalOutputScore, dict[str, float]],
    goal: float,
) -> list[str]:
    golden_set, (score, verdicts) = part.golden_set, column
    since = judge.evaluator_record.created_at
    agreement = agreement_in_review(golden_set, score, verdicts, since, goal)
    name = f"{judge.evaluator_record.name!r} ({score.name})"
    if not agreement.labels:
        return [
            f"{name} has no verdict yet of a random output that was labelled after it was made; "
            "measuring the judge asks for them."
        ]
    pool = len(golden_set.ids)
    return [agreement_sentence(name, agreement, pool)]


def _differences(
    part: EvalLabels, score: EvalOutputScore, verdicts: dict[str, float]
) -> Iterator[str]:
    """Yield the outputs labelled now whose verdict differs and whose label has no reason."""
    for entry in part.entries:
        if (
            entry.score == score.json_key
            and entry.value is not None
            and entry.item in verdicts
            and decision_of(verdicts[entry.item], score.type) != entry.value
            and not entry.reason
        ):
            yield entry.item


def _request_for_reasons(items: Sequence[str]) -> str:
    return (
        f"The judge differs on {', '.join(items[:_MOST_ITEMS])}"
        f"{' and others' if len(items) > _MOST_ITEMS else ''}: ask the person why, and label "
        "them again with the reason."
    )
