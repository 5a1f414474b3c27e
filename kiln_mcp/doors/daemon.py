"""The daemon of a home: MCP over Streamable HTTP, and the jobs of this person.

It listens on a Unix socket for this person's own processes, if the system has them, and on
127.0.0.1 for HTTP clients. A request must carry its token, which is in a file that only the person
can read. It ends by itself after a time without requests and without unfinished jobs.
"""

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio
import uvicorn
from filelock import FileLock, Timeout
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from kiln_mcp import __version__
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.connections import (
    LONGEST_HEAD,
    Connections,
    Server,
    allow_files,
    limits_by_files,
)
from kiln_mcp.doors.border.credentials import HOST, Credentials, listen, read_token
from kiln_mcp.doors.border.lent_variables import LentVariables
from kiln_mcp.doors.border.log_limit import LogLimit
from kiln_mcp.doors.border.origins import LOCAL_ORIGINS
from kiln_mcp.doors.border.socket_file import listen_at_home, remove_socket
from kiln_mcp.doors.guard import LOCAL_NAMES, Activity, Entrance, Guard
from kiln_mcp.doors.preload import Preload
from kiln_mcp.doors.server import ServerExtension, build_server
from kiln_mcp.errors import AlreadyServing
from kiln_mcp.garbage import collect_rarely
from kiln_mcp.home import prepare_home, write_private
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

IDLE_S: Final = 15 * 60.0
LOOK_EVERY_S: Final = 1.0
LONGEST_TURN_S: Final = 0.001
"""How long a thread computes before another one may; Python's 5 ms add up.

A short call changes threads some hundred times. Beside an import it waited 2.3 s with 5 ms, and
0.6 s with 1 ms.
"""
LARGEST_BODY: Final = 4 * 2**20

_log = logging.getLogger(__name__)


def build_app(
    workspace: Workspace,
    catalogue: Catalogue,
    entrance: Entrance,
    activity: Activity,
    extensions: Sequence[ServerExtension] = (),
) -> Guard:
    """Return the daemon's web application: MCP at /mcp, behind the guard."""
    app = build_server(nullcontext(workspace), catalogue, extensions).streamable_http_app(
        max_request_body_size=LARGEST_BODY,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[f"{name}:*" for name in LOCAL_NAMES],
            allowed_origins=[pattern for name in LOCAL_ORIGINS for pattern in (name, f"{name}:*")],
        ),
    )
    return Guard(app, entrance, activity, workspace.engine.orders.give_back)


async def serve(
    settings: Settings,
    catalogue: Catalogue,
    *,
    port: int = 0,
    token_file: Path | None = None,
    idle_s: float = IDLE_S,
    extensions: Sequence[ServerExtension] = (),
) -> None:
    """Serve this home until it is asked to stop, or is idle without unfinished jobs.

    Args:
        settings: The person's settings.
        catalogue: The capabilities.
        port: The port on 127.0.0.1; 0 for the one of the last start, or any free one.
        token_file: The file with the token; None for the token of the last start.
        idle_s: Seconds without a request after which the daemon ends.
        extensions: More that its server should answer.

    Raises:
        AlreadyServing: Another daemon serves this home.
        Refusal: The port is in use, or the file holds no token.
    """
    collect_rarely()
    sys.setswitchinterval(LONGEST_TURN_S)
    home = settings.home
    await anyio.to_thread.run_sync(prepare_home, home)
    lock = FileLock(home / "daemon.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyServing(home) from error
    try:
        token = "" if token_file is None else await anyio.to_thread.run_sync(read_token, token_file)
        # Each client has a folder of its own, so a relative path has no meaning here.
        async with catalogue.open_workspace(replace(settings, started_in=None)) as workspace:
            await _serve(workspace, catalogue, Credentials(port, token), idle_s, extensions)
    finally:
        lock.release()


async def _serve(
    workspace: Workspace,
    catalogue: Catalogue,
    request: Credentials,
    idle_s: float,
    extensions: Sequence[ServerExtension],
) -> None:
    settings = workspace.settings
    home, log = settings.home, LogLimit(settings.home / "daemon.log")
    listener, credentials = await anyio.to_thread.run_sync(listen, home, request)
    unix_socket = await anyio.to_thread.run_sync(listen_at_home, home)
    path = None if unix_socket is None else unix_socket[1]
    listeners = [listener] if unix_socket is None else [listener, unix_socket[0]]
    activity = Activity()
    variables = LentVariables(os.environ, settings.engine.server_file)
    entrance = Entrance(credentials.token, variables)
    allow_files()
    server = Server(
        _web_settings(build_app(workspace, catalogue, entrance, activity, extensions)),
        listeners,
        Connections(limits_by_files()),
    )
    file = home / "daemon.json"
    with suppress(DatabaseFailure):  # the call that asks the host reports it
        await workspace.engine.orders.end_leases()

    async def announce_and_watch() -> None:
        # The sockets listen already: a client that connects too early waits for uvicorn.
        await anyio.to_thread.run_sync(_announce, file, credentials, path)
        last_problem, preload = "", Preload()
        while not (activity.idle_for(idle_s) and await _is_idle(workspace)):
            last_problem = await _continue_jobs(workspace, last_problem)
            await anyio.to_thread.run_sync(log.trim)
            await preload.advance(activity)
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
        file.unlink(missing_ok=True)
        _close(listeners, path)


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


async def _continue_jobs(workspace: Workspace, last_problem: str) -> str:
    """Run the jobs that other processes left or submitted; log a failure once and return it.

    Without the jobs' database everything else still works.
    """
    try:
        if workspace.job_client is not None:
            await workspace.job_client.run_unfinished()
    except WorkbenchError as error:
        if str(error) != last_problem:
            _log.warning("%s", error)
        return str(error)
    return ""


async def _is_idle(workspace: Workspace) -> bool:
    return workspace.job_client is None or await workspace.job_client.count_unfinished() == 0


def _announce(file: Path, credentials: Credentials, path: Path | None) -> None:
    """Write the daemon's address and token to a file that only its person can read."""
    content: dict[str, object] = {"port": credentials.port, "token": credentials.token}
    content |= {"pid": os.getpid(), "version": __version__}
    if path is not None:
        content["socket"] = str(path)
    write_private(file, json.dumps(content).encode())
    _log.info("Serving on %s:%s", HOST, credentials.port)
