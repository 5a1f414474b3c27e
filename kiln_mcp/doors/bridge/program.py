"""The bridge from its start to its end, and the daemon that it finds for the command line."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NoReturn

from kiln_mcp.doors.border.tool_choice import choice_in
from kiln_mcp.doors.bridge.cold_start import ColdStart
from kiln_mcp.doors.bridge.discovery import Daemon, DaemonUnreachable, home_folder
from kiln_mcp.doors.bridge.envelope import header_value
from kiln_mcp.doors.bridge.first_answers import load_first_answers
from kiln_mcp.doors.bridge.own_server import serve_lines
from kiln_mcp.doors.bridge.tool_calls import ToolCalls
from kiln_mcp.doors.bridge.transport import Bridge

_HERE_INSTEAD: Final = "Serving from this process instead: jobs pause when it ends."


def own_daemon() -> Daemon:
    """Return the daemon of this person's home, which may not run yet."""
    return Daemon(home_folder(os.environ, sys.platform))


def _client_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that identify this client and carry its own settings."""
    headers = {"kiln-mcp-client": os.urandom(8).hex(), **choice_in(environment).as_headers()}
    model = environment.get("KILN_MCP_MODEL")
    return {**headers, "kiln-mcp-model": header_value(model)} if model else headers


def _serve_here(reason: str) -> int:
    """Serve MCP in this process."""
    sys.stderr.write(f"kiln-mcp: {reason}\n")
    from kiln_mcp.doors.cli import serve_over_stdio

    serve_over_stdio()
    return 0


def find(daemon: Daemon) -> str | None:
    """Find or start the daemon and lend it this client's keys; return the reason if it fails."""
    if os.environ.get("KILN_MCP_DAEMON") == "off":
        return "KILN_MCP_DAEMON=off: no daemon is used."
    try:
        daemon.find(replacing=True)
    except OSError as error:
        return f"{error.filename} cannot be used: {(error.strerror or str(error)).casefold()}."
    except DaemonUnreachable as error:
        return str(error)
    daemon.lend_keys(os.environ)
    return None


def running_tools() -> ToolCalls | None:
    """Return the tools of the daemon that runs, with this client's keys lent; None without one."""
    if os.environ.get("KILN_MCP_DAEMON") == "off":
        return None
    daemon = own_daemon()
    try:
        if not daemon.is_running():
            return None
    except DaemonUnreachable:
        return None
    daemon.lend_keys(os.environ)
    headers = {**_client_headers(os.environ), "kiln-mcp-answers": "whole"}
    return ToolCalls(daemon.address, headers)


def run_bridge() -> int:
    """Carry messages to and from the daemon; without one, serve MCP in this process."""
    daemon = own_daemon()
    try:
        choice = choice_in(os.environ)
    except ValueError as error:
        sys.stderr.write(f"kiln-mcp: {error}\n")
        return 2
    answers = load_first_answers(sys.path, choice) if _starts_cold(daemon) else None
    if answers is not None:
        start = ColdStart(sys.stdin.buffer, sys.stdout.buffer, answers)
        return _end(_serve_cold(daemon, start))
    reason = find(daemon)
    if reason is not None:
        return _serve_here(f"{reason} {_HERE_INSTEAD}")
    with suppress(KeyboardInterrupt):
        Bridge(daemon, sys.stdin.buffer, sys.stdout.buffer, _client_headers(os.environ)).run()
    return _end(0)


def _starts_cold(daemon: Daemon) -> bool:
    """Return whether a daemon has to be started first."""
    try:
        return os.environ.get("KILN_MCP_DAEMON") != "off" and not daemon.is_running()
    except (DaemonUnreachable, OSError):
        return False  # `find` says why


def _serve_cold(daemon: Daemon, start: ColdStart) -> int:
    """Start the daemon while first answers are given, then carry what waits and what comes."""
    with suppress(KeyboardInterrupt):
        reason = find(daemon)
        handshake = start.end()
        if reason is not None:
            sys.stderr.write(f"kiln-mcp: {reason} {_HERE_INSTEAD}\n")
            sys.stderr.flush()
            return serve_lines(start.lines(), sys.stdout.buffer, handshake)
        headers = _client_headers(os.environ)
        bridge = Bridge(daemon, start.lines(), sys.stdout.buffer, headers)
        if handshake is not None:
            bridge.resume(*handshake)
        bridge.run()
    return 0


def _end(code: int) -> NoReturn:
    """End at once: a thread may still write to a client that has stopped reading."""
    os._exit(code)
