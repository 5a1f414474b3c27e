"""Tool calls of a running daemon by a command: one HTTP request each, without a session."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from kiln_mcp.doors.bridge.envelope import VERSION_KEY, modern_headers
from kiln_mcp.doors.bridge.http_client import DaemonAddress, Exchange
from kiln_mcp.doors.lines import Body, part_of

PROTOCOL: Final = "2026-07-28"
_CLIENT: Final = {"name": "the command line", "version": "1"}
_REQUEST_ID: Final = 1

Listener = Callable[[Mapping[str, Any]], None]
"""Gets the parameters of each progress notification, in the thread of the call."""


class ToolCalls:
    """Calls tools of the daemon at an address. Its methods block: call them in a thread.

    Args:
        address: Where the daemon listens.
        client_headers: Headers of every request, with this client's own settings.
    """

    def __init__(self, address: DaemonAddress, client_headers: Mapping[str, str]) -> None:
        self._address = address
        self._client_headers = client_headers
        self._exchange: Exchange | None = None
        self._is_cancelled = False

    def call(self, tool: str, arguments: Mapping[str, object], listener: Listener) -> Body | None:
        """Call a tool and return its structured answer; None if the daemon refused the call.

        Raises:
            OSError: The daemon ended, or the call was cancelled.
            ValueError: It answered no message of the protocol.
        """
        meta = {
            VERSION_KEY: PROTOCOL,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "progressToken": _REQUEST_ID,
        }
        message: Body = {"jsonrpc": "2.0", "id": _REQUEST_ID, "method": "tools/call"}
        message["params"] = {"name": tool, "arguments": arguments, "_meta": meta}
        headers = {**self._client_headers, **modern_headers(message)}
        body = json.dumps(message).encode()
        with Exchange(self._address, "POST", "/mcp", headers, body) as exchange:
            self._exchange = exchange
            exchange.is_cancelled = self._is_cancelled
            exchange.send()
            for line in exchange.messages():
                reply = part_of({"reply": json.loads(line)}, "reply")
                if reply.get("method") == "notifications/progress":
                    listener(part_of(reply, "params"))
                elif "method" not in reply:
                    return _answer_in(reply)
        raise ConnectionError("the daemon broke off its reply")

    def cancel(self) -> None:
        """Cancel the call that waits, and refuse all later ones; safe from any thread."""
        self._is_cancelled = True
        if self._exchange is not None:
            self._exchange.cancel()


def _answer_in(reply: Body) -> Body | None:
    result = part_of(reply, "result")
    if result.get("isError") or "structuredContent" not in result:
        return None
    return part_of(result, "structuredContent")
