"""The client's own model, where the client lets servers ask it: sampling, before 2026-07-28."""

from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from kiln_mcp.doors.server.context import Context
from kiln_mcp.llm import Message

LONGEST_ANSWER: Final = 4_000
"""Tokens of an answer."""


def sampler_of(context: Context) -> "ClientModel | None":
    """Return the model of the client that calls; None if servers cannot ask it."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        return None
    is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    return None if is_modern else ClientModel(context)


class ClientModel:
    """Asks the client's model while a call of the client waits."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def sample(self, messages: tuple[Message, ...]) -> str | None:
        """Return the model's answer; None if the client or its person declined."""
        system = "\n\n".join(item.content for item in messages if item.role == "system")
        params = types.CreateMessageRequestParams(
            messages=[
                types.SamplingMessage(
                    role="assistant" if item.role == "assistant" else "user",
                    content=types.TextContent(type="text", text=item.content),
                )
                for item in messages
                if item.role != "system"
            ],
            system_prompt=system or None,
            max_tokens=LONGEST_ANSWER,
        )
        # On the call's own stream: the session's stream may not be open yet.
        metadata = ServerMessageMetadata(related_request_id=self._context.request_id)
        try:
            result = await self._context.session.send_request(
                types.CreateMessageRequest(params=params),
                types.CreateMessageResult,
                metadata=metadata,
            )
        except MCPError:
            return None
        return result.content.text if isinstance(result.content, types.TextContent) else None
