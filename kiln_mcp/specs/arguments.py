"""The arguments of the capabilities of this room."""

from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class QuestionAnswer(BaseModel):
    """The person's answer to one question."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    question: str = Field(description="Its id or text.")
    answer: str


class DraftEdit(BaseModel):
    """One change: of a clause, an example, an edit, a field or a whole draft."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    target: str = Field(description="c2, d1.e1, x3: an edit, d1: adds a clause, a field, name")
    text: str = Field(description="'' removes, drops, undoes.")
    reason: str = ""


ASSUMPTION: Final = (QuestionAnswer(question="all", answer="assume"),)
"""What stands for the answers that nobody gave."""
_WORD: Final = "assume"
T = TypeVar("T")


def read_assumption(answers: T) -> T | list[QuestionAnswer]:
    """Return answers as a list; the word `assume` alone stands for all of them."""
    is_word = isinstance(answers, str) and answers.strip().strip('"').casefold() == _WORD
    return [*ASSUMPTION] if is_word else answers
