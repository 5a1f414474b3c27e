"""People's labels as Kiln's ratings hold them."""

from collections.abc import Mapping
from typing import Final

from storage import (
    EvalOutputScore,
    RequirementRating,
    Task,
    TaskOutputRating,
    TaskRun,
)

SESSION_TAG: Final = "synthetic_session_"
VALUES: Final[Mapping[str, Mapping[str, float]]] = {
    "pass_fail": {"pass": 1.0, "fail": 0.0},
    "pass_fail_critical": {"pass": 1.0, "fail": 0.0, "critical": -1.0},
    "five_star": {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0},
}
"""What a person may answer for each kind of score."""


def label_of(run: TaskRun, score: EvalOutputScore, task: Task) -> float | None:
    """Return a person's label of a run for a score, None where there is none.

    Looked for as Kiln does: the overall rating for `overall_rating`, the rating of a task
    requirement of this name, the rating named after the score.
    """
    rating = run.output.rating
    if rating is None:
        return None
    if score.json_key == "overall_rating":
        return rating.value
    required = next((r.id for r in task.requirements if r.name == score.name), None)
    for key in (required, f"named::{score.name}"):
        if key is not None and key in rating.requirement_ratings:
            return rating.requirement_ratings[key].value
    return None


def with_label(run: TaskRun, score: EvalOutputScore, value: float) -> TaskRun:
    """Return a run with a person's label for a score, written as Kiln writes it."""
    rating = run.output.rating or TaskOutputRating()
    if score.json_key == "overall_rating":
        changed = rating.replace(value=value, type=score.type)
    else:
        named = RequirementRating(value=value, type=score.type)
        ratings = {**rating.requirement_ratings, f"named::{score.name}": named}
        changed = rating.replace(requirement_ratings=ratings)
    return run.replace(output=run.output.replace(rating=changed))


def session_of(run: TaskRun) -> str | None:
    """Return the generation session of a run, None where it has no such tag."""
    return next((tag for tag in run.tags if tag.startswith(SESSION_TAG)), None)
