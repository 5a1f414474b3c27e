"""Requests to a program over its standard input and output: JSON-RPC, one message a line."""

import json
import math
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import JsonValue

from agent.server_tools import JsonObject, ServerError, ServerLostError, object_in

END_S: Final = 2.0
"""Seconds that a program has to end after its input is closed, and again after SIGTERM."""
_CONNECTION_ERRORS: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)


class ToolProgress(Protocol):
    """Receives the progress of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Take the work done, the total (None: unknown) and a sentence."""
        ...


@dataclass(slots=True)
class StdioRequests:
    """Sends requests to a program, and gives each the messages that belong to it."""

    _input: ByteSendStream
    _writing: anyio.Lock = field(default_factory=anyio.Lock)
    _open: dict[int, MemoryObjectSendStream[JsonObject]] = field(
        default_factory=dict[int, MemoryObjectSendStream[JsonObject]]
    )
    _count: int = 0
    _is_over: bool = False

    async def ask(
        self, method: str, params: JsonObject, meta: JsonObject, progress: ToolProgress | None
    ) -> JsonObject:
        """Send a request and return its result.

        Args:
            method: The method.
            params: Its parameters.
            meta: What `_meta` holds beside the progress token.
            progress: Gets the progress of the request, if anybody wants it.

        Raises:
            ServerLostError: The program has ended.
            ServerError: It refused the request.
        """
        self._count += 1
        number = self._count
        sender, receiver = anyio.create_memory_object_stream[JsonObject](math.inf)
        envelope = {**meta, "progressToken": number}
        request: dict[str, JsonValue] = {
            "id": number,
            "method": method,
            "params": cast("JsonValue", {**params, "_meta": envelope}),
        }
        with sender, receiver:
            self._open[number] = sender
            try:
                await self._send(request)
                async for message in receiver:
                    if "method" not in message:
                        return _result_of(message)
                    if progress is not None:
                        await progress(*_progress_in(object_in(message, "params")))
            except anyio.get_cancelled_exc_class():
                await self._cancel(number)
                raise
            finally:
                del self._open[number]
        raise ServerLostError("the connection was closed")

    async def read(self, output: ByteReceiveStream) -> None:
        """Take the program's messages until it ends; requests without an answer are lost then."""
        waiting = bytearray()
        try:
            async for chunk in output:
                start = len(waiting)
                waiting += chunk
                end = waiting.rfind(b"\n", start)
                if end >= 0:
                    lines = bytes(waiting[:end]).split(b"\n")
                    del waiting[: end + 1]
                    for line in lines:
                        self._take(line)
        except _CONNECTION_ERRORS:
            pass
        finally:
            self._is_over = True
            for sender in self._open.values():
                sender.close()

    def _take(self, line: bytes) -> None:
        """Give a message to its request; what belongs to none is left out."""
        try:
            message = cast("JsonValue", json.loads(line))
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        number = message.get("id")
        if message.get("method") == "notifications/progress":
            number = object_in(message, "params").get("progressToken")
        sender = self._open.get(number) if isinstance(number, int) else None
        if sender is not None:
            with suppress(*_CONNECTION_ERRORS):  # the request has its answer
                sender.send_nowait(message)

    async def _send(self, message: Mapping[str, JsonValue]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        try:
            if self._is_over:
                raise ServerLostError("the connection was closed")
            async with self._writing:
                await self._input.send(line)
        except _CONNECTION_ERRORS as error:
            raise ServerLostError("the connection was closed") from error

    async def _cancel(self, number: int) -> None:
        with anyio.CancelScope(shield=True), suppress(ServerError), anyio.move_on_after(1):
            params: JsonObject = {"requestId": number}
            message = {"method": "notifications/cancelled", "params": params}
            await self._send(cast("JsonObject", message))


def _result_of(message: JsonObject) -> JsonObject:
    if "error" in message:
        raise ServerError(str(object_in(message, "error").get("message") or "it refused"))
    return object_in(message, "result")


def _progress_in(params: JsonObject) -> tuple[float, float | None, str | None]:
    progress, total, text = params.get("progress"), params.get("total"), params.get("message")
    return (
        progress if isinstance(progress, int | float) else 0.0,
        total if isinstance(total, int | float) else None,
        text if isinstance(text, str) else None,
    )


@asynccontextmanager
async def open_requests(
    command: Sequence[str], environment: Mapping[str, str]
) -> AsyncGenerator[StdioRequests]:
    """Start a program and yield the way to ask it; it ends with the block.

    The program has a session of its own, so a Ctrl-C at the terminal does not end it.

    Raises:
        OSError: It does not start.
        ValueError: The command holds a NUL.
    """
    process = await anyio.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    requests = StdioRequests(process.stdin)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requests.read, process.stdout)
            try:
                yield requests
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process, process.stdin)
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), suppress(*_CONNECTION_ERRORS):
            await process.stdout.aclose()


async def _end(process: Process, stdin: ByteSendStream) -> None:
    """Close the program's input, wait, and end it if it does not end by itself."""
    with suppress(*_CONNECTION_ERRORS):
        await stdin.aclose()
    for end in (lambda: None, process.terminate, process.kill):
        with suppress(ProcessLookupError):
            end()
        with anyio.move_on_after(END_S):
            await process.wait()
            return
