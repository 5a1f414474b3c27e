"""The arguments of the capabilities of this room."""

from pydantic import BaseModel, ConfigDict, Field


class QuestionAnswer(BaseModel):
    """The person's answer to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    question: str = Field(description="Its id, or your own in words.")
    answer: str


class FieldEdit(BaseModel):
    """Your own change to one field."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    field: str
    text: str = Field(description="All of its new text.")
    reason: str
