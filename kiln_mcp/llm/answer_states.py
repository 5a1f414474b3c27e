"""The states of an answer: what it is good for."""

from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls", "refused"]
AnswerState = Literal["complete", "truncated", "refused", "empty", "unreadable"]
"""What an answer is good for. Only a complete one is scored, reused, shown or exported."""


def answer_state(finish: FinishReason, *, has_content: bool) -> AnswerState:
    """Return what an answer is good for, apart from whether it fits a schema.

    Args:
        finish: Why it ended.
        has_content: Whether it has text or calls of tools.
    """
    if finish == "refused":
        return "refused"
    if finish == "length":
        return "truncated"
    return "complete" if has_content else "empty"
