"""The daemon of a machine: MCP over Streamable HTTP, and the jobs of this person.

It listens on a Unix socket for this person's own processes, where the system has them, and on
127.0.0.1 for HTTP clients. It answers only those who know its token, which lies in a file that only
the person can read. It ends by itself when nobody has asked for a while and no job is to be done.
"""

import hmac
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio
import uvicorn
from filelock import FileLock, Timeout
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import TypeAdapter
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kiln_mcp import __version__
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.connections import (
    LONGEST_HEAD,
    Connections,
    Server,
    allow_files,
    connection_of,
    limits_by_files,
)
from kiln_mcp.doors.border.lent_variables import LentVariables, NotLendable, UnusableValue
from kiln_mcp.doors.border.log_limit import LogLimit
from kiln_mcp.doors.border.socket_file import listen_at_home, remove_socket
from kiln_mcp.doors.server import build_server
from kiln_mcp.doors.server.calls import client_of
from kiln_mcp.errors import AlreadyServing
from kiln_mcp.home import prepare_home
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

IDLE_S: Final = 15 * 60.0
LOOK_EVERY_S: Final = 1.0
LARGEST_BODY: Final = 4 * 2**20
LARGEST_KEYS: Final = 2**16
BODY_PIECE_WITHIN_S: Final = 15.0
"""How long a client may be silent in the middle of a request's body."""
HOST: Final = "127.0.0.1"
LOCAL_NAMES: Final = frozenset({HOST, "localhost"})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Activity:
    """Who is being answered, and when the last answer ended."""

    open: int = 0
    last: float = field(default_factory=time.monotonic)
    stop: anyio.Event = field(default_factory=anyio.Event)

    @contextmanager
    def request(self) -> Generator[None]:
        """Count a request while it lasts."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            self.last = time.monotonic()

    def idle_for(self, seconds: float) -> bool:
        """Whether nobody has asked for so long."""
        return self.open == 0 and time.monotonic() - self.last >= seconds


Gone = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Entrance:
    """What lets a client in, and what it may change.

    Attributes:
        token: What it must know.
        port: Where the daemon listens: pages of this address may ask it too.
        lent: Where it may lend its variables to.
    """

    token: str = field(repr=False)
    port: int
    lent: LentVariables

    @property
    def origins(self) -> frozenset[str]:
        """The addresses whose pages may ask."""
        return frozenset(f"http://{name}:{self.port}" for name in LOCAL_NAMES)


class Guard:
    """Lets in only those who know the token and come from this machine's own programs.

    No body is read before. Who is refused is sent away: the connection is closed.
    """

    def __init__(self, app: ASGIApp, entrance: Entrance, activity: Activity, gone: Gone) -> None:
        """Set up.

        Args:
            app: What they are let in to.
            entrance: What they must know, and what they may change.
            activity: Where their requests are counted.
            gone: Called with a client that has said goodbye.
        """
        self._app = app
        self._gone = gone
        self._entrance = entrance
        self._expected = f"Bearer {entrance.token}".encode()
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        connection = connection_of(scope)
        if connection is None:
            await self._answer(scope, receive, send)
            return
        connection.admit()
        try:
            await self._answer(scope, _impatient(receive), send)
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
                await self._gone(client)

    async def _take_keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take over the keys that a client lends; the newest is the one that somebody has mended.

        Only variables of providers and of the person's own servers are taken.
        """
        try:
            lent = TypeAdapter(dict[str, str]).validate_json(await _small_body(receive))
            self._entrance.lent.take(lent)
        except ValueError as error:
            await PlainTextResponse(_reason(error), 400)(scope, receive, send)
            return
        await JSONResponse({"taken": True})(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        host = headers.get("host", "").rpartition(":")[0]
        if host not in LOCAL_NAMES:  # a name of somebody else's that leads here
            return _sent_away("Wrong Host.", 421)
        if not set(headers.getlist("origin")) <= self._entrance.origins:
            return _sent_away("Only pages of the daemon's own address may ask it.", 403)
        given = [value.encode() for value in headers.getlist("authorization")]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._expected):
            refused = _sent_away("The daemon's token is wanted: daemon.json in the home holds it.")
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        return None


def _reason(error: ValueError) -> str:
    """Return why keys are not taken, without what was sent."""
    if isinstance(error, NotLendable | UnusableValue):
        return str(error)
    return "Not a JSON object of texts that an environment can hold."


def _sent_away(sentence: str, status: int = 401) -> Response:
    """Return a refusal after which the connection is closed, so that no body is read."""
    return PlainTextResponse(sentence, status, {"Connection": "close"})


def _impatient(receive: Receive) -> Receive:
    """Return a body's receiver that takes a client for gone which stops in the middle."""
    more = True

    async def receive_in_time() -> Message:
        nonlocal more
        if not more:
            return await receive()
        with anyio.move_on_after(BODY_PIECE_WITHIN_S):
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message
        more = False
        return {"type": "http.disconnect"}

    return receive_in_time


async def _small_body(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        ValueError: It is larger than keys can be.
    """
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("broken off")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_KEYS:
            raise ValueError("too large")
    return body


def build_app(
    workspace: Workspace, catalogue: Catalogue, entrance: Entrance, activity: Activity
) -> Guard:
    """Return the daemon's web application: MCP at /mcp, behind the guard."""
    app = build_server(nullcontext(workspace), catalogue).streamable_http_app(
        max_request_body_size=LARGEST_BODY,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[f"{name}:*" for name in LOCAL_NAMES],
            allowed_origins=sorted(entrance.origins),
        ),
    )
    return Guard(app, entrance, activity, workspace.engine.orders.give_back)


async def serve(
    settings: Settings, catalogue: Catalogue, *, port: int = 0, idle_s: float = IDLE_S
) -> None:
    """Serve this home until asked to stop, or until idle with no job to be done.

    Args:
        settings: What the person set.
        catalogue: What is offered.
        port: Where to listen on 127.0.0.1; 0 for any free port.
        idle_s: After how many seconds without a request to end.

    Raises:
        AlreadyServing: Another daemon serves this home.
    """
    home = settings.home
    await anyio.to_thread.run_sync(prepare_home, home)
    lock = FileLock(home / "daemon.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyServing(home) from error
    try:
        # Each client has a folder of its own, so a relative path means nothing here.
        async with catalogue.open_workspace(replace(settings, started_in=None)) as workspace:
            await _serve(workspace, catalogue, port, idle_s)
    finally:
        lock.release()


async def _serve(workspace: Workspace, catalogue: Catalogue, port: int, idle_s: float) -> None:
    settings = workspace.settings
    home, log = settings.home, LogLimit(settings.home / "daemon.log")
    listener = socket.create_server((HOST, port), backlog=128)
    port = listener.getsockname()[1]
    by_path = await anyio.to_thread.run_sync(listen_at_home, home)
    path = None if by_path is None else by_path[1]
    token, activity = secrets.token_urlsafe(32), Activity()
    lent = LentVariables(os.environ, settings.engine.server_file)
    entrance = Entrance(token, port, lent)
    allow_files()
    server = Server(
        _web_settings(build_app(workspace, catalogue, entrance, activity)),
        [listener] if by_path is None else [listener, by_path[0]],
        Connections(limits_by_files()),
    )
    where = home / "daemon.json"

    async def announce_and_watch() -> None:
        # The sockets listen already: who connects before uvicorn is ready waits for it.
        await anyio.to_thread.run_sync(_announce, where, port, path, token)
        said = ""
        while not (activity.idle_for(idle_s) and await _nothing_to_do(workspace)):
            said = await _go_on(workspace, said)
            await anyio.to_thread.run_sync(log.trim)
            with anyio.move_on_after(min(LOOK_EVERY_S, idle_s)):
                await activity.stop.wait()
                break
        server.should_exit = True

    log.attach()
    log.trim()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(announce_and_watch)
            await server.serve([])
            group.cancel_scope.cancel()
    finally:
        where.unlink(missing_ok=True)
        _close([listener] if by_path is None else [listener, by_path[0]], path)


def _web_settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=LONGEST_HEAD,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="on",
    )


def _close(listeners: Sequence[socket.socket], path: Path | None) -> None:
    for listener in listeners:
        listener.close()
    if path is not None:
        with suppress(OSError):
            remove_socket(path)


async def _go_on(workspace: Workspace, said: str) -> str:
    """Do the jobs that other processes leave or hand in; say once why that cannot be done.

    Without their database all the rest still works.
    """
    try:
        if workspace.desk is not None:
            await workspace.desk.run_unfinished()
    except WorkbenchError as error:
        if str(error) != said:
            _log.warning("%s", error)
        return str(error)
    return ""


async def _nothing_to_do(workspace: Workspace) -> bool:
    return workspace.desk is None or await workspace.desk.count_unfinished() == 0


def _announce(where: Path, port: int, path: Path | None, token: str) -> None:
    """Write down where the daemon listens, for its person alone, whole or not at all."""
    fresh = where.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    known: dict[str, object] = {"port": port, "token": token}
    known |= {"pid": os.getpid(), "version": __version__}
    if path is not None:
        known["socket"] = str(path)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(known, file)
    fresh.replace(where)
    _log.info("Serving on %s:%s", HOST, port)
