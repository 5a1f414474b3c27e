"""The daemon's connections, with limits on their number and their silence.

uvicorn speaks HTTP on them. They are accepted here, because uvicorn sets no limit on them, and
asyncio's accept loop spins if no file descriptor is free.
"""

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from kiln_mcp.doors.border.peers import is_own_peer

MOST_SILENT: Final = 64
MOST_OPEN: Final = 512
HEAD_WITHIN_S: Final = 5.0
ACCEPT_PAUSE_S: Final = 0.5
LONGEST_HEAD: Final = 2**17
READ_SIZE: Final = 2**12
"""Bytes read at once; other connections have their turn between two reads."""
MOST_FILES: Final = 4_096
_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_LOST: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits on connections.

    Attributes:
        silent: The most without a token so far; the oldest of more is closed.
        open: The most in all.
        head_within_s: Seconds within which a request's head, with its token, must arrive.
    """

    silent: int = MOST_SILENT
    open: int = MOST_OPEN
    head_within_s: float = HEAD_WITHIN_S


class Connection(H11Protocol):
    """One connection; its requests have it as `scope["state"]["connection"]`."""

    def __init__(self, connections: "Connections", server: "Server", trusted: bool) -> None:
        """Set up without contact.

        Args:
            connections: Counts it.
            server: Answers its requests.
            trusted: Whether the system confirms that this person is at the other end.
        """
        state = {**server.lifespan.state, "connection": self}
        super().__init__(server.config, server.server_state, state, asyncio.get_running_loop())
        self.trusted = trusted
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add it to the connections."""
        assert isinstance(transport, asyncio.Transport)
        cast("Any", transport).max_size = READ_SIZE  # of asyncio's own transports
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove it from the connections."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def admit(self) -> None:
        """Keep it open while its request is answered: the request carries the token."""
        self._connections.admit(self)

    def await_head(self) -> None:
        """Close it unless its next request comes in time."""
        self._connections.expect_head(self)

    def abort(self) -> None:
        """Close it at once."""
        self.transport.abort()


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection of a request; None if a test calls the application itself."""
    connection: Any = scope.get("state", {}).get("connection")
    return connection if isinstance(connection, Connection) else None


@dataclass(slots=True)
class Connections:
    """All connections of the daemon. Its methods are called on the event loop."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    _open: dict[Connection, asyncio.TimerHandle | None] = field(default_factory=dict)
    _silent: dict[Connection, None] = field(default_factory=dict)  # the oldest first

    def add(self, connection: Connection) -> None:
        """Count a connection, and close the oldest silent one if there are too many."""
        self._open[connection] = None
        if not connection.trusted:
            self._silent[connection] = None
        self.expect_head(connection)
        too_many = len(self._silent) > self.limits.silent or len(self._open) > self.limits.open
        if too_many and not self.drop_silent():
            connection.abort()

    def drop_silent(self) -> bool:
        """Close the oldest connection without a token; return False if there is none.

        The newest stays, so that nobody who holds all places can keep others out.
        """
        oldest = next(iter(self._silent), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.abort()
        return True

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection."""
        self._silent.pop(connection, None)
        timer = self._open.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def admit(self, connection: Connection) -> None:
        """Keep a connection open."""
        self._silent.pop(connection, None)
        self._set_timer(connection, None)

    def expect_head(self, connection: Connection) -> None:
        """Close a connection unless the next request's head comes in time."""
        later = asyncio.get_running_loop().call_later
        self._set_timer(connection, later(self.limits.head_within_s, connection.abort))

    def _set_timer(self, connection: Connection, timer: asyncio.TimerHandle | None) -> None:
        if connection not in self._open:
            if timer is not None:
                timer.cancel()
            return
        earlier = self._open[connection]
        if earlier is not None:
            earlier.cancel()
        self._open[connection] = timer


class Server(uvicorn.Server):
    """uvicorn on our own listeners, with counted connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: Sequence[socket.socket],
        connections: Connections,
    ) -> None:
        """Set up without contact.

        Args:
            config: The settings of uvicorn.
            listeners: The listening sockets.
            connections: Counts their connections.
        """
        super().__init__(config)
        self._listeners = listeners
        self._connections = connections
        self._accept_tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup([])
        self._accept_tasks = [
            asyncio.create_task(self._accept(listener)) for listener in self._listeners
        ]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and wait a little for the open requests."""
        for task in self._accept_tasks:
            task.cancel()
        await asyncio.gather(*self._accept_tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await super().shutdown([])

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _NO_FILES:
                    _log.warning("No more connections are accepted: %s.", error.strerror)
                    self._connections.drop_silent()
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                elif error.errno not in _CLIENT_LOST:
                    raise
                continue
            await self._connect(client)

    async def _connect(self, client: socket.socket) -> None:
        is_unix = client.family == getattr(socket, "AF_UNIX", None)
        if is_unix and not is_own_peer(client):
            _log.warning("A connection of another user's process was refused.")
            client.close()
            return
        create = partial(Connection, self._connections, self, is_unix)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(create, client)
        except OSError:  # the client has closed it
            client.close()


def allow_files() -> None:
    """Raise the soft limit on open files, which is 256 on some systems, to `MOST_FILES`."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def limits_by_files() -> ConnectionLimits:
    """Return limits that leave half of the open files to other uses."""
    if sys.platform == "win32":
        return ConnectionLimits()
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, soft // 2)
    return ConnectionLimits(silent=min(MOST_SILENT, limit // 2), open=limit)
