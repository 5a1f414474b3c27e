"""The arguments of the capabilities of this room."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

ASSUME: Final = "assume"
Assume = Literal["assume"]


class QuestionAnswer(BaseModel):
    """The person's answer to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    question: str = Field(description="Its id, or your own in words.")
    answer: str


class DraftEdit(BaseModel):
    """One change: of a clause, an example, an edit, a field or a whole draft."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    target: str = Field(description="c2, d1.e1, x3 (an edit), d1 (adds a clause), a field, name …")
    text: str = Field(description="Its new text; '' removes, drops, takes back.")
    reason: str = ""
