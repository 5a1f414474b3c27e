"""What a client starts over stdio: carries messages to and from the daemon of this machine.

On the standard library alone, so that it is up in a few hundredths of a second: the daemon has
long imported what takes time. It speaks both protocol eras, starts the daemon where none runs,
and where that fails, or KILN_MCP_DAEMON is "off", serves MCP in its own process.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from kiln_mcp.doors.bridge.discovery import Daemon, DaemonUnreachable, home_folder
from kiln_mcp.doors.bridge.envelope import header_value
from kiln_mcp.doors.bridge.exchange import Exchange
from kiln_mcp.doors.bridge.transport import Bridge

__all__ = ["Bridge", "Daemon", "Exchange", "home_folder", "main"]


def _lent(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what this client's calls say of it and of its own settings."""
    lent = {"kiln-mcp-client": os.urandom(8).hex()}
    model = environment.get("KILN_MCP_MODEL")
    return {**lent, "kiln-mcp-model": header_value(model)} if model else lent


def _serve_here(reason: str) -> int:
    """Serve MCP in this process."""
    sys.stderr.write(f"kiln-mcp: {reason}\n")
    from kiln_mcp.doors.cli import serve_over_stdio

    serve_over_stdio()
    return 0


def _find(daemon: Daemon) -> str | None:
    """Find or start the daemon, and lend it this client's keys; return why not, where not."""
    if os.environ.get("KILN_MCP_DAEMON") == "off":
        return "no daemon, as KILN_MCP_DAEMON says."
    try:
        daemon.find(replacing=True)
    except OSError as error:
        return f"{error.filename} cannot be used: {(error.strerror or str(error)).casefold()}."
    except DaemonUnreachable as error:
        return str(error)
    daemon.lend_keys(os.environ)
    return None


def main() -> int:
    """Bridge where no command is given; else run the command line."""
    daemon = Daemon(home_folder(os.environ, sys.platform))
    if len(sys.argv) > 1 or sys.stdin.isatty():
        from kiln_mcp.doors.cli import main as command_line

        command_line(lambda: _find(daemon))
        return 0
    reason = _find(daemon)
    if reason is not None:
        return _serve_here(f"{reason} Serving from this process instead: jobs pause when it ends.")
    with suppress(KeyboardInterrupt):
        Bridge(daemon, sys.stdin.buffer, sys.stdout.buffer, _lent(os.environ)).run()
    # A thread may still write to a client that reads no more: waiting for it would take for ever.
    os._exit(0)
