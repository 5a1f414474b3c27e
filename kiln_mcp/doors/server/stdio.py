"""MCP over standard input and output, in this process.

It behaves as the bridge does: a line without a message is refused in a sentence. Requests that
were open when the client closed its side are still answered.
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
from kiln_mcp.doors.lines import ENDLESS, LAST_ANSWERS_S, MessageError, parse_message
from kiln_mcp.doors.server.door import build_server
from kiln_mcp.workbench.workspace import Workspace

Incoming = SessionMessage | Exception
"""A message, or the reason why a line holds none."""


async def serve_stdio(
    workspace: AbstractAsyncContextManager[Workspace], catalogue: Catalogue
) -> None:
    """Serve MCP until the client closes its side and its open requests are answered."""
    server = build_server(workspace, catalogue)
    to_server, requests = anyio.create_memory_object_stream[Incoming](0)
    replies, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    open_requests = _OpenRequests()
    async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as group:
        group.start_soon(_carry_in, incoming, to_server, replies.clone(), open_requests)
        group.start_soon(_carry_out, from_server, outgoing, open_requests, group.cancel_scope)
        await server.run(requests, replies, server.create_initialization_options())
        replies.close()  # the remaining replies are carried out first


class _OpenRequests:
    """The requests without an answer so far."""

    def __init__(self) -> None:
        self._open: Counter[object] = Counter()
        self._change = anyio.Event()

    def receive(self, message: types.JSONRPCMessage) -> None:
        """Count a client's request, or forget one that the client cancels."""
        match message:
            case types.JSONRPCRequest(id=request_id, method=method) if method != ENDLESS:
                self._open[request_id] += 1
            case types.JSONRPCNotification(method="notifications/cancelled", params=params):
                self._close((params or {}).get("requestId"))
            case _:
                pass

    def send(self, message: types.JSONRPCMessage) -> None:
        """Forget a request that the server answers."""
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            self._close(message.id)

    def _close(self, request_id: object) -> None:
        self._open -= Counter([request_id])
        self._change.set()
        self._change = anyio.Event()

    async def drain(self) -> None:
        """Wait until all requests are answered."""
        while self._open:
            await self._change.wait()


async def _carry_in(
    incoming: AsyncIterator[Incoming],
    to_server: MemoryObjectSendStream[Incoming],
    outgoing: MemoryObjectSendStream[SessionMessage],
    open_requests: _OpenRequests,
) -> None:
    async with to_server, outgoing:
        async for message in incoming:
            if isinstance(message, Exception):
                await outgoing.send(SessionMessage(_refusal(message)))
                continue
            open_requests.receive(message.message)
            await to_server.send(message)
        with anyio.move_on_after(LAST_ANSWERS_S):
            await open_requests.drain()


async def _carry_out(
    from_server: MemoryObjectReceiveStream[SessionMessage],
    outgoing: Any,
    open_requests: _OpenRequests,
    server_scope: anyio.CancelScope,
) -> None:
    async with outgoing:  # its writer ends with it
        async for message in from_server:
            try:
                await outgoing.send(message)
            except anyio.BrokenResourceError:  # the client has closed its side
                server_scope.cancel()
                return
            open_requests.send(message.message)


def _refusal(error: Exception) -> types.JSONRPCError:
    """Return the reason why a line holds no message, in the words of the bridge."""
    code, sentence, request_id = types.INVALID_REQUEST, "This line holds no message.", None
    try:
        if isinstance(error, ValidationError):
            parse_message(_line_of(error))
    except MessageError as fault:
        code, sentence, request_id = fault.code, str(fault), fault.request_id
    return types.JSONRPCError(
        jsonrpc="2.0",
        id=cast("types.RequestId | None", request_id),
        error=types.ErrorData(code=code, message=sentence),
    )


def _line_of(error: ValidationError) -> bytes:
    """Return the line that was read, or the same JSON value written again."""
    # One alternative of the message type reports a missing field of the whole value.
    details = error.errors(include_url=False)
    first = min(details, key=lambda detail: (len(detail["loc"]), detail["type"] != "missing"))
    if first["type"] == "json_invalid":
        return str(first["input"]).encode(errors="replace")
    return json.dumps(first["input"]).encode()
