"""A request of the client that has no answer so far."""

import threading

from kiln_mcp.doors.bridge.envelope import modern_headers
from kiln_mcp.doors.bridge.http_client import Exchange
from kiln_mcp.doors.lines import Body, part_of


class OpenCall:
    """An open request.

    Attributes:
        id: The id that its answer must have.
        method: Its method.
        name: The tool that it calls, if it calls one.
        headers: The headers of a modern request; empty for the legacy era.
        earlier: An open request with the same id, which goes first.
        exchange: Its HTTP exchange with the daemon; None before it is sent.
        is_cancelled: Whether the client cancelled it.
        has_answer: Whether its answer was passed on.
        over: Set at its end.
    """

    __slots__ = (
        "earlier",
        "exchange",
        "has_answer",
        "headers",
        "id",
        "is_cancelled",
        "method",
        "name",
        "over",
    )

    def __init__(self, message: Body, earlier: "OpenCall | None") -> None:
        self.id = message["id"]
        self.method: object = message["method"]
        self.name: object = part_of(message, "params").get("name")
        self.headers = modern_headers(message)
        self.earlier = earlier
        self.exchange: Exchange | None = None
        self.is_cancelled = False
        self.has_answer = False
        self.over = threading.Event()

    def cancel(self) -> bool:
        """Cancel a request of the modern era by closing its connection; False for others."""
        if not self.headers:
            return False
        self.is_cancelled = True
        if self.exchange is not None:
            self.exchange.cancel()
        return True
