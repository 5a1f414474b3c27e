"""The part of a long conversation that a model is sent again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kiln_mcp.llm import Message

MOST_CHARACTERS: Final = 240_000
"""About 60,000 tokens: what most models read with room for an answer."""
OMISSION_NOTE: Final = "[An older result, left out here. Call the tool again if it is needed.]"


def shorten_history(
    messages: Sequence[Message], most_characters: int = MOST_CHARACTERS
) -> list[Message]:
    """Return the messages without the texts of older tool results, if all are too long together.

    The texts of people and models stay, and so do the results of the last round. Many results are
    left out at a time, so that providers can cache the beginning of a conversation.

    Args:
        messages: The whole conversation.
        most_characters: The length above which results are left out.
    """
    length = dialogue_length = 0
    round_start = cutoff = 0
    for place, message in enumerate(messages):
        if message.role == "assistant":
            round_start = place
        length += len(message.content)
        dialogue_length += 0 if message.role == "tool" else len(message.content)
        if length > most_characters and round_start > cutoff:
            cutoff = round_start
            latest = messages[round_start : place + 1]
            length = dialogue_length + sum(len(m.content) for m in latest if m.role == "tool")
    return [
        replace(message, content=OMISSION_NOTE)
        if message.role == "tool" and place < cutoff
        else message
        for place, message in enumerate(messages)
    ]
