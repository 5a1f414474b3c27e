"""People's ratings of an output, where Kiln keeps and looks for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from storage import Eval, EvalOutputScore, RequirementRating, Task, TaskOutputRating, TaskRun
from storage.errors import InvalidValue
from storage.records.ratings import RatingType

VALUES: Final[Mapping[str, Mapping[str, float]]] = {
    "pass_fail": {"pass": 1.0, "fail": 0.0},
    "pass_fail_critical": {"pass": 1.0, "fail": 0.0, "critical": -1.0},
    "five_star": {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0},
}
"""What a person or a judge may answer on each scale, and what it is worth."""

_NAME_PREFIX: Final = "named::"


@dataclass(frozen=True, slots=True)
class RatingCriterion:
    """What an output is rated by.

    Attributes:
        name: As people call it.
        type: The scale.
        keys: Where its rating may lie, the one that counts first; empty for the overall rating.
    """

    name: str
    type: RatingType
    keys: tuple[str, ...]


STARS: Final = RatingCriterion("overall rating", "five_star", ())
"""The overall rating."""


def criterion_of(score: EvalOutputScore, task: Task) -> RatingCriterion:
    """Return what people rate by for a score of an eval.

    Found as Kiln does: the overall rating for `overall_rating`, the rating of a task requirement
    of this name, the rating named after the score.
    """
    if score.json_key == "overall_rating":
        return RatingCriterion(score.name, score.type, ())
    required = [
        requirement.id for requirement in task.requirements if requirement.name == score.name
    ]
    return RatingCriterion(score.name, score.type, (*required, _NAME_PREFIX + score.name))


def criteria(task: Task, evals: Sequence[Eval]) -> dict[str, RatingCriterion]:
    """Return what people rate the outputs of a task by, by name: evals' scores, requirements."""
    scores = [criterion_of(score, task) for parent in evals for score in parent.output_scores]
    required = [
        RatingCriterion(
            requirement.name, requirement.type, (requirement.id, _NAME_PREFIX + requirement.name)
        )
        for requirement in task.requirements
    ]
    criteria: dict[str, RatingCriterion] = {}
    for criterion in (*scores, *required):
        criteria.setdefault(criterion.name, criterion)
    return criteria


def rating_in(
    overall: float | None, ratings: Mapping[str, float], criterion: RatingCriterion
) -> float | None:
    """Return the rating by a criterion among those of a run, None if there is none.

    Args:
        overall: The overall rating.
        ratings: The other ratings, by requirement or score.
        criterion: What is rated.
    """
    if not criterion.keys:
        return overall
    return next((ratings[key] for key in criterion.keys if key in ratings), None)


def with_rating(run: TaskRun, criterion: RatingCriterion, value: float | None) -> TaskRun:
    """Return a run with a person's rating, written as Kiln writes it; None takes it away."""
    rating = run.output.rating or TaskOutputRating()
    if not criterion.keys:
        changed = rating.replace(value=value, type=rating.type if value is None else criterion.type)
    else:
        other_ratings = {
            k: v for k, v in rating.requirement_ratings.items() if k not in criterion.keys
        }
        new_ratings = (
            {}
            if value is None
            else {criterion.keys[0]: RequirementRating(value=value, type=criterion.type)}
        )
        changed = rating.replace(requirement_ratings={**other_ratings, **new_ratings})
    is_empty = changed.value is None and not changed.requirement_ratings
    return run.replace(output=run.output.replace(rating=None if is_empty else changed))


def value_of(criterion: RatingCriterion, answer: bool | float | str) -> float:
    """Return what a rating is worth that a person put in a word or a number.

    True is pass and false is fail, where the scale has them.

    Raises:
        Refusal: The scale has no such rating.
    """
    words = VALUES.get(criterion.type, {})
    word = str(answer).strip().casefold()
    if isinstance(answer, bool):
        word = "pass" if answer else "fail"
    try:
        value = words[word] if word in words else float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (words and value not in words.values()):
        raise InvalidValue(
            "'{name}' cannot be rated '{answer}': valid are {valid}. Nothing was rated.",
            name=criterion.name,
            answer=answer,
            valid=list(words) or ["any number"],
        )
    return value


def shown_value(value: float, scale: RatingType) -> float | str:
    """Return a rating as people read it: a word where the scale has words, else the number."""
    if scale == "five_star" or scale not in VALUES:
        return value
    return next((word for word, worth in VALUES[scale].items() if worth == value), value)


def overall_rating(run: TaskRun) -> float | str | None:
    """Return a person's overall rating of a run as people read it; None if there is none."""
    rating = run.output.rating
    if rating is None or rating.value is None:
        return None
    return shown_value(rating.value, rating.type)


def ratings_by_name(run: TaskRun, task: Task) -> dict[str, float | str]:
    """Return a person's ratings of a run, except the overall one, by what they are of."""
    rating = run.output.rating
    ratings = rating.requirement_ratings if rating is not None else {}
    required = {requirement.id: requirement.name for requirement in task.requirements}
    first_what_counts_less = sorted(ratings.items(), key=lambda entry: entry[0] in required)
    return {
        required.get(key, key.removeprefix(_NAME_PREFIX)): shown_value(rating.value, rating.type)
        for key, rating in first_what_counts_less
    }
