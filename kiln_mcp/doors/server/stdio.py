"""MCP over standard input and output, in this process.

As the bridge does: a line that is no message is refused in a sentence, and what was asked before
the client closed its side is still answered.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.lines import ENDLESS, LAST_ANSWERS_S, NotAMessage, as_message
from kiln_mcp.doors.server.door import build_server
from kiln_mcp.workbench.workspace import Workspace

Heard = SessionMessage | Exception
"""A message, or why a line is none."""


async def serve_stdio(
    workspace: AbstractAsyncContextManager[Workspace], catalogue: Catalogue
) -> None:
    """Serve MCP until the client closes its side, and what was asked by then is answered."""
    server = build_server(workspace, catalogue)
    to_server, asked = anyio.create_memory_object_stream[Heard](0)
    said, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    unanswered = _Unanswered()
    async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as group:
        group.start_soon(_carry_in, incoming, to_server, said.clone(), unanswered)
        group.start_soon(_carry_out, from_server, outgoing, unanswered, group.cancel_scope)
        await server.run(asked, said, server.create_initialization_options())
        said.close()  # what is still to be said is carried out first


class _Unanswered:
    """The requests that have no answer yet."""

    def __init__(self) -> None:
        self._open: Counter[object] = Counter()
        self._fewer = anyio.Event()

    def asked(self, message: types.JSONRPCMessage) -> None:
        """Take in what the client says."""
        match message:
            case types.JSONRPCRequest(id=asked, method=method) if method != ENDLESS:
                self._open[asked] += 1
            case types.JSONRPCNotification(method="notifications/cancelled", params=params):
                self._close((params or {}).get("requestId"))
            case _:
                pass

    def answered(self, message: types.JSONRPCMessage) -> None:
        """Take in what the server says."""
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            self._close(message.id)

    def _close(self, request: object) -> None:
        self._open -= Counter([request])
        self._fewer.set()
        self._fewer = anyio.Event()

    async def none(self) -> None:
        """Wait until all are answered."""
        while self._open:
            await self._fewer.wait()


async def _carry_in(
    incoming: AsyncIterator[Heard],
    to_server: MemoryObjectSendStream[Heard],
    outgoing: MemoryObjectSendStream[SessionMessage],
    unanswered: _Unanswered,
) -> None:
    async with to_server, outgoing:
        async for heard in incoming:
            if isinstance(heard, Exception):
                await outgoing.send(SessionMessage(_refused(heard)))
                continue
            unanswered.asked(heard.message)
            await to_server.send(heard)
        with anyio.move_on_after(LAST_ANSWERS_S):
            await unanswered.none()


async def _carry_out(
    from_server: MemoryObjectReceiveStream[SessionMessage],
    outgoing: Any,
    unanswered: _Unanswered,
    serving: anyio.CancelScope,
) -> None:
    async with outgoing:  # its writer ends with it
        async for message in from_server:
            try:
                await outgoing.send(message)
            except anyio.BrokenResourceError:  # the client reads no more
                serving.cancel()
                return
            unanswered.answered(message.message)


def _refused(error: Exception) -> types.JSONRPCError:
    """Return why a line is no message, in the words of the bridge."""
    code, said, request_id = types.INVALID_REQUEST, "This line holds no message.", None
    try:
        if isinstance(error, ValidationError):
            as_message(_line_of(error))
    except NotAMessage as fault:
        code, said, request_id = fault.code, str(fault), fault.request_id
    named = cast("types.RequestId | None", request_id)
    return types.JSONRPCError(
        jsonrpc="2.0", id=named, error=types.ErrorData(code=code, message=said)
    )


def _line_of(error: ValidationError) -> bytes:
    """Return the line that was read; of one that is JSON, the same value."""
    # Of all that a message may be, one says of the whole value that something is missing.
    details = error.errors(include_url=False)
    first = min(details, key=lambda one: (len(one["loc"]), one["type"] != "missing"))
    if first["type"] == "json_invalid":
        return str(first["input"]).encode(errors="replace")
    return json.dumps(first["input"]).encode()
