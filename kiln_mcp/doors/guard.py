"""The guard before the daemon's application: token, host and origin of each request."""

import hmac
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from pydantic import TypeAdapter
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiln_mcp import __version__
from kiln_mcp.doors.border.connections import connection_of
from kiln_mcp.doors.border.credentials import HOST
from kiln_mcp.doors.border.lent_variables import LendingError, LentVariables
from kiln_mcp.doors.border.origins import admitting_page, is_local, preflight_answer
from kiln_mcp.doors.server.calls import client_of

LARGEST_KEYS: Final = 2**16
BODY_PIECE_WITHIN_S: Final = 15.0
"""Seconds that a client may be silent in the middle of a request's body."""
LOCAL_NAMES: Final = frozenset({HOST, "localhost"})


@dataclass(slots=True)
class Activity:
    """The open requests, and the end of the last one.

    Attributes:
        open: The number of open requests.
        last: The time of the last request's end.
        stop: Set when the daemon should end.
    """

    open: int = 0
    last: float = field(default_factory=time.monotonic)
    stop: anyio.Event = field(default_factory=anyio.Event)

    @contextmanager
    def request(self) -> Generator[None]:
        """Count a request while it is open."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            self.last = time.monotonic()

    def idle_for(self, seconds: float) -> bool:
        """Return whether no request was open for so many seconds."""
        return self.open == 0 and time.monotonic() - self.last >= seconds


GoodbyeListener = Callable[[str], Awaitable[None]]
"""Called with a client that has ended its session."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a request must carry, and what a client may change.

    Attributes:
        token: The token that a request must carry.
        variables: The variables that clients lend.
    """

    token: str = field(repr=False)
    variables: LentVariables


class Guard:
    """Passes only requests that carry the token and come from this machine's own programs.

    It decides before it reads a body. A refusal closes the connection.
    """

    def __init__(
        self, app: ASGIApp, entrance: Entrance, activity: Activity, on_goodbye: GoodbyeListener
    ) -> None:
        """Set up.

        Args:
            app: The application behind the guard.
            entrance: What requests must carry, and what they may change.
            activity: Counts their requests.
            on_goodbye: Called with a client that has ended its session.
        """
        self._app = app
        self._on_goodbye = on_goodbye
        self._entrance = entrance
        self._expected = f"Bearer {entrance.token}".encode()
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, scope["method"])
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        send = admitting_page(send, headers)
        connection = connection_of(scope)
        if connection is None:
            await self._answer(scope, receive, send)
            return
        connection.admit()
        try:
            await self._answer(scope, _receive_in_time(receive), send)
        finally:
            connection.await_head()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stop" and scope["method"] == "POST":
            self._activity.stop.set()
            await JSONResponse({"stopping": True})(scope, receive, send)
        elif scope["path"] == "/keys" and scope["method"] == "POST":
            await self._take_keys(scope, receive, send)
        elif scope["path"] == "/health":
            await JSONResponse({"version": __version__})(scope, receive, send)
        else:
            with self._activity.request():
                await self._app(scope, receive, send)
            if scope["method"] == "DELETE" and (client := client_of(Headers(scope=scope))):
                await self._on_goodbye(client)

    async def _take_keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take over the keys that a client lends; the newest one replaces an older one.

        Only variables of providers and of the person's own servers are taken.
        """
        try:
            loan = TypeAdapter(dict[str, str]).validate_json(await _small_body(receive))
            self._entrance.variables.take(loan)
        except ValueError as error:
            await PlainTextResponse(_reason(error), 400)(scope, receive, send)
            return
        await JSONResponse({"taken": True})(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> Response | None:
        """Return the answer to a request that does not pass; None if it passes."""
        host = headers.get("host", "").rpartition(":")[0]
        if host not in LOCAL_NAMES:  # a foreign name that resolves to this machine
            return _rejection("Wrong Host.", 421)
        if not is_local(headers.getlist("origin")):
            return _rejection("Only pages of this machine may ask the daemon.", 403)
        if preflight := preflight_answer(headers, method):
            return preflight
        credentials = [value.encode() for value in headers.getlist("authorization")]
        if len(credentials) != 1 or not hmac.compare_digest(credentials[0], self._expected):
            sentence = "The request needs the daemon's token: daemon.json in the home holds it."
            response = _rejection(sentence)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None


def _reason(error: ValueError) -> str:
    """Return the reason why keys are not taken, without quoting them."""
    if isinstance(error, LendingError):
        return str(error)
    return "Not a JSON object of texts that an environment can hold."


def _rejection(sentence: str, status: int = 401) -> Response:
    """Return a refusal that closes the connection, so that no body is read."""
    return PlainTextResponse(sentence, status, {"Connection": "close"})


def _receive_in_time(receive: Receive) -> Receive:
    """Return a receiver of a body that disconnects a client that stops in the middle."""
    has_more = True

    async def receive_piece() -> Message:
        nonlocal has_more
        if not has_more:
            return await receive()
        with anyio.move_on_after(BODY_PIECE_WITHIN_S):
            message = await receive()
            has_more = message["type"] == "http.request" and message.get("more_body", False)
            return message
        has_more = False
        return {"type": "http.disconnect"}

    return receive_piece


async def _small_body(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        ValueError: It is larger than keys can be.
    """
    body = b""
    has_more = True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("the client disconnected")
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > LARGEST_KEYS:
            raise ValueError("too large")
    return body
