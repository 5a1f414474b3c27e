"""The daemon of a machine: MCP over Streamable HTTP, and the jobs of this person.

It listens on this machine alone and answers only those who know its token, which lies in a file
that only the person can read. It ends by itself when nobody has asked for a while and no job is
to be done.
"""

import hmac
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext
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
from starlette.types import ASGIApp, Receive, Scope, Send

from kiln_mcp import __version__
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.errors import AlreadyServing
from kiln_mcp.home import prepare_home
from kiln_mcp.server import build_server
from kiln_mcp.server.calls import client_of
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import Workspace
from storage.errors import WorkbenchError

IDLE_S: Final = 15 * 60.0
LOOK_EVERY_S: Final = 1.0
LARGEST_BODY: Final = 4 * 2**20
LARGEST_KEYS: Final = 2**16
HOST: Final = "127.0.0.1"

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


class Guard:
    """Lets in only those who know the token and come from this machine's own programs."""

    def __init__(self, app: ASGIApp, token: str, activity: Activity, gone: Gone) -> None:
        """Set up.

        Args:
            app: What they are let in to.
            token: What they must know.
            activity: Where their requests are counted.
            gone: Called with a client that has said goodbye.
        """
        self._app = app
        self._gone = gone
        self._expected = f"Bearer {token}".encode()
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif scope["path"] == "/stop" and scope["method"] == "POST":
            self._activity.stop.set()
            await JSONResponse({"stopping": True})(scope, receive, send)
        elif scope["path"] == "/keys" and scope["method"] == "POST":
            await self._take_keys(scope, receive, send)
        elif scope["path"] == "/health":
            await JSONResponse({"version": __version__})(scope, receive, send)
        else:
            with self._activity.request():
                await self._app(scope, receive, send)
            if scope["method"] == "DELETE" and (client := client_of(headers)):
                await self._gone(client)

    async def _take_keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take over the keys that a client lends; the newest is the one that somebody has mended.

        Which variables are keys the client's bridge decides: whoever knows the token is the person.
        """
        try:
            os.environ.update(TypeAdapter(dict[str, str]).validate_json(await _small_body(receive)))
        except ValueError:
            said = "Not a JSON object of texts that an environment can hold."
            await PlainTextResponse(said, 400)(scope, receive, send)
            return
        await JSONResponse({"taken": True})(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        host = headers.get("host", "").rpartition(":")[0]
        if host not in {HOST, "localhost"}:
            return PlainTextResponse("Wrong Host.", 421)
        if "origin" in headers:  # a web page; our own pages come with their own door
            return PlainTextResponse("No web pages here.", 403)
        given = headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected):
            return PlainTextResponse(
                "The daemon's token is wanted: daemon.json in the home holds it.",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None


async def _small_body(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        ValueError: It is larger than keys can be.
    """
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_KEYS:
            raise ValueError("too large")
    return body


def build_app(workspace: Workspace, catalogue: Catalogue, token: str, activity: Activity) -> Guard:
    """Return the daemon's web application: MCP at /mcp, behind the guard."""
    app = build_server(nullcontext(workspace), catalogue).streamable_http_app(
        max_request_body_size=LARGEST_BODY,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[f"{HOST}:*", "localhost:*"],
            allowed_origins=[],
        ),
    )
    return Guard(app, token, activity, workspace.engine.orders.give_back)


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
    activity, token = Activity(), secrets.token_urlsafe(32)
    app = build_app(workspace, catalogue, token, activity)
    listening = socket.create_server((HOST, port), backlog=128)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="on"
    )
    server = uvicorn.Server(config)
    where = workspace.settings.home / "daemon.json"

    async def announce_and_watch() -> None:
        # The socket listens already: who connects before uvicorn is ready waits for it.
        await anyio.to_thread.run_sync(_announce, where, listening.getsockname()[1], token)
        said = ""
        while not (activity.idle_for(idle_s) and await _nothing_to_do(workspace)):
            said = await _go_on(workspace, said)
            with anyio.move_on_after(min(LOOK_EVERY_S, idle_s)):
                await activity.stop.wait()
                break
        server.should_exit = True

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(announce_and_watch)
            await server.serve([listening])
            group.cancel_scope.cancel()
    finally:
        where.unlink(missing_ok=True)
        listening.close()


async def _go_on(workspace: Workspace, said: str) -> str:
    """Do the jobs that other processes leave or hand in; say once why that cannot be done.

    Without their database all the rest still works.
    """
    try:
        if workspace.desk is not None:
            await workspace.desk.go_on()
    except WorkbenchError as error:
        if str(error) != said:
            _log.warning("%s", error)
        return str(error)
    return ""


async def _nothing_to_do(workspace: Workspace) -> bool:
    return workspace.desk is None or await workspace.desk.unfinished() == 0


def _announce(where: Path, port: int, token: str) -> None:
    """Write down where the daemon listens, for its person alone, whole or not at all."""
    fresh = where.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    known = {"port": port, "token": token, "pid": os.getpid(), "version": __version__}
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(known, file)
    fresh.replace(where)
    _log.info("Serving on %s:%s", HOST, port)
