"""The daemon's connections: few that have shown no token, none that stays silent, never too many.

uvicorn speaks HTTP on them; which ones there are is decided here. uvicorn's own accepting has no
limit, and asyncio's goes round in circles where no file descriptor is free.
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
AGAIN_AFTER_S: Final = 0.5
LONGEST_HEAD: Final = 2**17
PIECE: Final = 2**12
"""Bytes read at once: others have their turn between two pieces, however many chunks one holds."""
FILES_WANTED: Final = 4_096
_NO_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take.

    Attributes:
        silent: The most that have shown no token yet; of more, the oldest is closed.
        open: The most in all.
        head_within_s: Seconds until a request's head, with its token, must be there.
    """

    silent: int = MOST_SILENT
    open: int = MOST_OPEN
    head_within_s: float = HEAD_WITHIN_S


class Connection(H11Protocol):
    """One connection, which its requests find as `scope["state"]["connection"]`."""

    def __init__(self, connections: "Connections", server: "Server", trusted: bool) -> None:
        """Set up without contact.

        Args:
            connections: Where it is counted.
            server: What its requests are handed to.
            trusted: Whether the system says that this person is at the other end.
        """
        state = {**server.lifespan.state, "connection": self}
        super().__init__(server.config, server.server_state, state, asyncio.get_running_loop())
        self.trusted = trusted
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        assert isinstance(transport, asyncio.Transport)
        cast("Any", transport).max_size = PIECE  # of asyncio's own transports
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._connections.closed(self)
        super().connection_lost(exc)

    def admit(self) -> None:
        """Let it stay while its request is answered: it has shown the token."""
        self._connections.admitted(self)

    def await_head(self) -> None:
        """Give it a little time for its next request."""
        self._connections.expect_head(self)

    def give_up(self) -> None:
        """Close it at once."""
        self.transport.abort()


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection of a request; None where a test calls the application itself."""
    connection: Any = scope.get("state", {}).get("connection")
    return connection if isinstance(connection, Connection) else None


@dataclass(slots=True)
class Connections:
    """All connections of the daemon. Its methods are called on the event loop."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    _open: dict[Connection, asyncio.TimerHandle | None] = field(default_factory=dict)
    _silent: dict[Connection, None] = field(default_factory=dict)  # the oldest first

    def opened(self, connection: Connection) -> None:
        """Count a connection, and close the oldest silent one where there are too many."""
        self._open[connection] = None
        if not connection.trusted:
            self._silent[connection] = None
        self.expect_head(connection)
        too_many = len(self._silent) > self.limits.silent or len(self._open) > self.limits.open
        if too_many and not self.drop_silent():
            connection.give_up()

    def drop_silent(self) -> bool:
        """Close the connection that has shown no token for longest; False where there is none.

        The newest stays: else whoever holds all places would keep everybody out.
        """
        oldest = next(iter(self._silent), None)
        if oldest is None:
            return False
        self.closed(oldest)
        oldest.give_up()
        return True

    def closed(self, connection: Connection) -> None:
        """Count a connection no more."""
        self._silent.pop(connection, None)
        timer = self._open.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def admitted(self, connection: Connection) -> None:
        """Let a connection stay."""
        self._silent.pop(connection, None)
        self._set_timer(connection, None)

    def expect_head(self, connection: Connection) -> None:
        """Close a connection unless the next request's head comes in time."""
        later = asyncio.get_running_loop().call_later
        self._set_timer(connection, later(self.limits.head_within_s, connection.give_up))

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
    """uvicorn on listeners of ours, whose connections are counted."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: Sequence[socket.socket],
        connections: Connections,
    ) -> None:
        """Set up without contact.

        Args:
            config: Of uvicorn.
            listeners: Sockets that listen.
            connections: Where their connections are counted.
        """
        super().__init__(config)
        self._listeners = listeners
        self._connections = connections
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup([])
        self._accepting = [
            asyncio.create_task(self._accept(listener)) for listener in self._listeners
        ]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and wait a little for what is being answered."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await super().shutdown([])

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _NO_FILES:
                    _log.warning("No more connections are let in: %s.", error.strerror)
                    self._connections.drop_silent()
                    await asyncio.sleep(AGAIN_AFTER_S)
                elif error.errno not in _CLIENT_GONE:
                    raise
                continue
            await self._take(accepted)

    async def _take(self, accepted: socket.socket) -> None:
        by_path = accepted.family == getattr(socket, "AF_UNIX", None)
        if by_path and not is_own_peer(accepted):
            _log.warning("A process of another user was not let in.")
            accepted.close()
            return
        make = partial(Connection, self._connections, self, by_path)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(make, accepted)
        except OSError:  # the client has gone already
            accepted.close()


def allow_files() -> None:
    """Raise the soft limit on open files, which is 256 on some systems, as far as is wanted."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def limits_by_files() -> ConnectionLimits:
    """Return limits that leave half of the files that may be open to all else."""
    if sys.platform == "win32":
        return ConnectionLimits()
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_OPEN if soft == resource.RLIM_INFINITY else min(MOST_OPEN, soft // 2)
    return ConnectionLimits(silent=min(MOST_SILENT, limit // 2), open=limit)
