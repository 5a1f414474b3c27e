"""Ratings and the scale that each is on."""

from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from storage.records.record import NestedRecord, Part

RatingType = Literal["five_star", "pass_fail", "pass_fail_critical", "custom"]
"""A scale: 1 to 5, 0 or 1, -1 or 0 or 1, or any number."""

RATING_RANGES: dict[str, tuple[float, float]] = {
    "five_star": (1, 5),
    "pass_fail": (0, 1),
    "pass_fail_critical": (-1, 1),
}


def _check_value(value: float | None, scale: RatingType) -> None:
    if value is None or scale == "custom":
        return
    low, high = RATING_RANGES[scale]
    if not low <= value <= high or value != int(value):
        raise ValueError(f"a {scale} rating is a whole number from {low:g} to {high:g}")


class RequirementRating(Part):
    """The rating of one requirement or one score."""

    value: float
    type: RatingType = "five_star"

    @model_validator(mode="after")
    def _in_range(self) -> "RequirementRating":
        _check_value(self.value, self.type)
        return self


class TaskOutputRating(NestedRecord):
    """A person's rating of an output.

    Attributes:
        value: The overall rating, None if only single scores were rated.
        requirement_ratings: By requirement id, or by `named::<score name>`.
    """

    type: RatingType = "five_star"
    value: float | None = None
    requirement_ratings: dict[str, RequirementRating] = Field(default_factory=dict)
    model_type: Literal["task_output_rating"] = "task_output_rating"

    @field_validator("requirement_ratings", mode="before")
    @classmethod
    def _bare_numbers_are_stars(cls, value: JsonValue) -> JsonValue:
        if not isinstance(value, dict):
            return value
        return {
            key: {"value": rating, "type": "five_star"}
            if isinstance(rating, int | float)
            else rating
            for key, rating in value.items()
        }

    @model_validator(mode="after")
    def _in_range(self) -> "TaskOutputRating":
        _check_value(self.value, self.type)
        return self

    @property
    def is_high_quality(self) -> bool:
        """Whether the overall rating is 4 or 5 stars, or a pass."""
        return self.value is not None and self.value >= (4 if self.type == "five_star" else 1)
