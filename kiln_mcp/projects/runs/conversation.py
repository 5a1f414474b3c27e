"""The conversation between a run's input and its output, as lines of text."""

from collections.abc import Sequence
from typing import Final

from storage.exchange.examples import message_line
from storage.records.run import TraceMessage
from storage.text.excerpts import counted_excerpt, with_remainder

_PROMPTS: Final = frozenset({"system", "developer"})
_MOST_MESSAGES: Final = 50


def conversation_lines(trace: Sequence[TraceMessage] | None, longest: int) -> list[str]:
    """Return the messages of a run, with the calls of tools; none for one question and its answer.

    Args:
        trace: The messages.
        longest: Longer messages are cut to so many characters.
    """
    messages = list(trace or ())
    if sum(message.role not in _PROMPTS for message in messages) <= 2:
        return []
    lines = [
        counted_excerpt(message_line(message.model_dump()), longest)
        for message in messages[:_MOST_MESSAGES]
    ]
    return with_remainder(lines, len(messages))
