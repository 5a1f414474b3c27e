"""Pages in a browser that may ask the daemon: those of this machine, with the token.

A page is known by its Origin. Browsers ask first whether a page may send a token (CORS); they ask
without one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Send

LOCAL_ORIGINS: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")
_LOCAL: Final = re.compile(rf"(?:{'|'.join(map(re.escape, LOCAL_ORIGINS))})(?::\d{{1,5}})?")
_PREFLIGHT: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Accept, Last-Event-ID, MCP-Protocol-Version, "
        "Mcp-Session-Id, Mcp-Method, Mcp-Name, Kiln-MCP-Model, Kiln-MCP-Client"
    ),
    "Access-Control-Max-Age": "600",
}


def is_local(origins: Sequence[str]) -> bool:
    """Return whether all origins of a request are pages of this machine; none is no page."""
    return all(_LOCAL.fullmatch(origin) for origin in origins)


def preflight_answer(headers: Headers, method: str) -> Response | None:
    """Return the answer to a browser's question for a local page; None if this is none."""
    origins = headers.getlist("origin")
    if method != "OPTIONS" or len(origins) != 1 or "access-control-request-method" not in headers:
        return None
    response = Response(status_code=204, headers={**_PREFLIGHT, "Connection": "close"})
    _admit_page(response.headers, origins[0])
    return response


def admitting_page(send: Send, headers: Headers) -> Send:
    """Return a sender whose answers the page that asked may read."""
    origins = headers.getlist("origin")
    if len(origins) != 1:
        return send

    async def send_to_page(message: Message) -> None:
        if message["type"] == "http.response.start":
            _admit_page(MutableHeaders(scope=message), origins[0])
        await send(message)

    return send_to_page


def _admit_page(headers: MutableHeaders, origin: str) -> None:
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = "Mcp-Session-Id, WWW-Authenticate"
    headers.add_vary_header("Origin")
