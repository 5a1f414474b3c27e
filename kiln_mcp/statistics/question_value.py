"""The value of a question to a person about one output, and when no question is worth asking."""

from dataclasses import dataclass
from typing import Final

MOST_QUESTIONS: Final = 5
"""Questions of one session."""
LEAST_CHANGE: Final = 0.02
"""The expected share of outputs with a changed verdict below which a question is not asked."""


@dataclass(frozen=True, slots=True)
class QuestionValue:
    """What the answer to a question would tell: whether one output passes one clause.

    Attributes:
        clause: The clause's id.
        item: The output's id.
        reduction: The expected reduction of the entropy of verdicts, in bits an output.
        change: The expected share of outputs on which a verdict changes.
        pass_probability: The probability of the answer that it passes.
        pass_reading: The most probable reading that passes it.
        fail_reading: The most probable reading that fails it.
    """

    clause: str
    item: str
    reduction: float
    change: float
    pass_probability: float
    pass_reading: str
    fail_reading: str


def is_worth_asking(
    value: QuestionValue | None, question_count: int = 0, least_change: float = LEAST_CHANGE
) -> bool:
    """Return whether a question should be asked.

    Args:
        value: The best question; None if there is none.
        question_count: Questions of the session so far.
        least_change: The share of outputs whose verdict it has to change.
    """
    return value is not None and question_count < MOST_QUESTIONS and value.change > least_change
