"""What a model is reminded of, when a conversation grows longer than it should be told again."""

from collections.abc import Sequence
from dataclasses import replace

from agent.messages import Message

MOST_CHARACTERS = 240_000
"""About 60,000 tokens: what most models take with room for an answer."""
LEFT_OUT = "[An older result, left out here. Call the tool again where it is needed.]"


def reminded(messages: Sequence[Message], most: int = MOST_CHARACTERS) -> list[Message]:
    """Return the messages without the texts of older tool results, where all are too long.

    What people and models said stays, and so do the results of the last round. Results are left
    out many at a time, so that providers that remember the beginning of a conversation can.

    Args:
        messages: The whole conversation.
        most: Characters that bring about a leaving out.
    """
    length = spoken = 0
    round_began = left_out_before = 0
    for place, message in enumerate(messages):
        if message.role == "assistant":
            round_began = place
        length += len(message.text)
        spoken += 0 if message.role == "tool" else len(message.text)
        if length > most and round_began > left_out_before:
            left_out_before = round_began
            latest = sum(len(m.text) for m in messages[round_began : place + 1] if m.role == "tool")
            length = spoken + latest
    return [
        replace(message, text=LEFT_OUT)
        if message.role == "tool" and place < left_out_before
        else message
        for place, message in enumerate(messages)
    ]
