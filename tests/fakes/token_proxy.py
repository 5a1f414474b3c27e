"""A proxy that adds the daemon's token to each request, for clients that cannot send one."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST_HEAD = 2**16


_ENDS = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


@asynccontextmanager
async def token_proxy(port: int, token: str) -> AsyncGenerator[int]:
    """Serve on a free port while the block lasts; yield the port.

    Args:
        port: The port of the daemon.
        token: Its token.
    """

    async def carry(client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", port) as daemon,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_carry_answers, daemon, client, group.cancel_scope)
            await _carry_requests(client, daemon, token)
            group.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, carry)
        yield listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def _carry_answers(
    daemon: SocketStream, client: SocketStream, scope: anyio.CancelScope
) -> None:
    with suppress(*_ENDS):
        while True:
            await client.send(await daemon.receive())
    scope.cancel()


async def _carry_requests(client: SocketStream, daemon: SocketStream, token: str) -> None:
    """Carry requests until the client ends; a body has a length, as all clients here send it."""
    incoming = BufferedByteReceiveStream(client)
    with suppress(*_ENDS):
        while True:
            head = await incoming.receive_until(b"\r\n\r\n", LONGEST_HEAD)
            lines = head.split(b"\r\n")
            fields = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(b":") for line in lines[1:])
            }
            length = int(fields.get(b"content-length", b"0"))
            body = await incoming.receive_exactly(length) if length else b""
            lines.append(b"Authorization: Bearer " + token.encode())
            await daemon.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
