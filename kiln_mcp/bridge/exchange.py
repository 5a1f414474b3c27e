"""HTTP, as much as is needed to talk to the daemon."""

import socket
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple

LONGEST_HEAD: Final = 65_536
CONNECT_WITHIN_S: Final = 10.0


class Address(NamedTuple):
    """Where the daemon listens, and what it lets in."""

    port: int
    token: str

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=CONNECT_WITHIN_S)


class Exchange:
    """One HTTP request and its reply, on a connection of its own."""

    def __init__(
        self, address: Address, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
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
        self._socket = address.connect()
        self._socket.settimeout(None)  # a reply may take as long as the work does
        self._reply: BinaryIO = self._socket.makefile("rb")
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent = False
        self.given_up = False

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self._reply.close()
        self._socket.close()

    def send(self) -> None:
        """Send the request and read the reply's head."""
        self._socket.sendall(self._request)
        self.sent = True
        status = self._reply.readline(LONGEST_HEAD).split(b" ", 2)
        if len(status) < 2:
            raise ConnectionError("the daemon closed the connection")
        self.status = int(status[1])
        while line := self._reply.readline(LONGEST_HEAD).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def give_up(self) -> None:
        """Close the connection, from any thread: that is how a request is cancelled."""
        self.given_up = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = self.headers.get("content-length")
            yield self._reply.read() if length is None else self._exactly(int(length))
            return
        while size := int(self._reply.readline(LONGEST_HEAD).split(b";")[0].strip() or b"-1", 16):
            yield self._exactly(size)
            self._reply.readline()

    def _exactly(self, size: int) -> bytes:
        piece = self._reply.read(size) if size > 0 else b""
        if size < 0 or len(piece) < size:
            raise ConnectionError("the daemon broke off its reply")
        return piece

    def messages(self) -> Iterator[bytes]:
        """Return the JSON-RPC messages of the reply as they come."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            whole = b"".join(self._pieces()).strip()
            if whole:
                yield whole
            return
        rest = b""
        for piece in self._pieces():
            *events, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                data = [line[5:].strip() for line in event.split(b"\n") if line[:5] == b"data:"]
                if any(data):
                    yield b"\n".join(data)
