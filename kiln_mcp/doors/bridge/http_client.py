"""A small HTTP client for the daemon, on the standard library alone."""

import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from kiln_mcp.doors.border.peers import is_own_peer

LONGEST_HEAD: Final = 65_536
CONNECT_WITHIN_S: Final = 10.0
MOST_CONNECTING: Final = 32
"""Connections that have not sent their request: the daemon closes the oldest of too many."""
RETRY_PAUSE_S: Final = 0.02

_connecting = threading.BoundedSemaphore(MOST_CONNECTING)


class DaemonAddress(NamedTuple):
    """The daemon's address and token.

    Attributes:
        port: The port on 127.0.0.1.
        token: The token that a request must carry.
        path: The path of its Unix socket; empty if it has none.
    """

    port: int
    token: str
    path: str = ""

    def connect(self) -> socket.socket:
        """Open a connection; on a Unix socket, only to a process of this person.

        Raises:
            OSError: Nobody answers, or another user does.
        """
        if self.path:
            with suppress(FileNotFoundError):  # removed by a cleaner while the daemon runs
                return self._connect_to_socket()
        return socket.create_connection(("127.0.0.1", self.port), timeout=CONNECT_WITHIN_S)

    def _connect_to_socket(self) -> socket.socket:
        until = time.monotonic() + CONNECT_WITHIN_S
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(CONNECT_WITHIN_S)
            try:
                connection.connect(self.path)
                if is_own_peer(connection):
                    return connection
                raise PermissionError(f"{self.path} is served by another user")
            except BlockingIOError:  # too many connect at once
                connection.close()
                if time.monotonic() > until:
                    raise TimeoutError("the daemon accepts no connections") from None
                time.sleep(RETRY_PAUSE_S)
            except OSError:
                connection.close()
                raise


def address_in(file: Path, content: Mapping[str, object]) -> DaemonAddress:
    """Return the address in a daemon's file.

    Raises:
        ValueError: The file holds no usable address.
    """
    path = str(content.get("socket") or "") if hasattr(socket, "AF_UNIX") else ""
    if path and not Path(path).is_absolute():
        raise ValueError(f"{file} names no absolute path")
    return DaemonAddress(int(str(content["port"])), str(content["token"]), path)


class Exchange:
    """One HTTP request and its reply, on a connection of its own."""

    def __init__(
        self,
        address: DaemonAddress,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        within_s: float | None = None,
    ) -> None:
        """Prepare without contact.

        Args:
            address: The daemon's address.
            method: The HTTP method.
            path: The HTTP path.
            headers: Further headers.
            body: The request's body.
            within_s: How long the daemon may be silent; None for as long as the work takes.
        """
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{address.port}",
            f"Authorization: Bearer {address.token}",
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._address = address
        self._within_s = within_s
        self._socket: socket.socket | None = None
        self._reply: BinaryIO = io.BytesIO()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.was_sent = False
        self.is_cancelled = False

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self._reply.close()
        if self._socket is not None:
            self._socket.close()

    def send(self) -> None:
        """Send the request and read the reply's head.

        Raises:
            OSError: The daemon is not reached, ends, or is silent for too long.
        """
        if not _connecting.acquire(timeout=CONNECT_WITHIN_S):
            raise TimeoutError("the daemon accepts no connections")
        try:
            self._connect().sendall(self._request)
        finally:
            _connecting.release()
        self.was_sent = True
        status = self._reply.readline(LONGEST_HEAD).split(b" ", 2)
        if len(status) < 2:
            raise ConnectionError("the daemon closed the connection")
        self.status = int(status[1])
        while line := self._reply.readline(LONGEST_HEAD).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def _connect(self) -> socket.socket:
        connection = self._address.connect()
        connection.settimeout(self._within_s)
        self._reply = connection.makefile("rb")
        self._socket = connection
        if self.is_cancelled:
            raise ConnectionError("the request was cancelled")
        return connection

    def cancel(self) -> None:
        """Cancel the request by closing its connection; safe from any thread."""
        self.is_cancelled = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = self.headers.get("content-length")
            yield self._reply.read() if length is None else self._read_exactly(int(length))
            return
        while size := int(self._reply.readline(LONGEST_HEAD).split(b";")[0].strip() or b"-1", 16):
            yield self._read_exactly(size)
            self._reply.readline()

    def _read_exactly(self, size: int) -> bytes:
        piece = self._reply.read(size) if size > 0 else b""
        if size < 0 or len(piece) < size:
            raise ConnectionError("the daemon broke off its reply")
        return piece

    def messages(self) -> Iterator[bytes]:
        """Yield the JSON-RPC messages of the reply as they arrive."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            body = b"".join(self._pieces()).strip()
            if body:
                yield body
            return
        rest = b""
        for piece in self._pieces():
            *events, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                data = [line[5:].strip() for line in event.split(b"\n") if line[:5] == b"data:"]
                if any(data):
                    yield b"\n".join(data)
