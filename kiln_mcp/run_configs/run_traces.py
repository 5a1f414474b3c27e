"""Conversations as Kiln's files hold them."""

from collections.abc import Sequence

from pydantic import JsonValue

from kiln_mcp.llm import Message
from storage import TraceMessage


def stored_trace(messages: Sequence[Message]) -> tuple[TraceMessage, ...]:
    """Return a conversation as Kiln stores it."""
    return tuple(
        TraceMessage.model_validate(
            {
                "role": message.role,
                "content": message.content,
                **({"tool_calls": _calls(message)} if message.tool_calls else {}),
                **({"tool_call_id": message.tool_call_id} if message.tool_call_id else {}),
            }
        )
        for message in messages
    )


def _calls(message: Message) -> list[JsonValue]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls
    ]
