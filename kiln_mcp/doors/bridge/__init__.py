"""The program that a client starts over stdio: it carries messages to and from the daemon.

It uses the standard library alone, so that it starts in a few hundredths of a second. The daemon
has imported the slow libraries already. The bridge speaks both protocol eras and starts the daemon
if none runs. If that fails, or KILN_MCP_DAEMON is "off", it serves MCP in its own process.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiln_mcp.doors.bridge.discovery import Daemon, home_folder
    from kiln_mcp.doors.bridge.exchange import Exchange
    from kiln_mcp.doors.bridge.transport import Bridge

__all__ = ["Bridge", "Daemon", "Exchange", "home_folder", "main"]


def __getattr__(name: str) -> object:
    """Import what a command such as `--help` does not need, when it is first asked for."""
    from kiln_mcp.doors.bridge import discovery, exchange, transport

    for module in (discovery, exchange, transport):
        if name in __all__ and hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _find_daemon() -> str | None:
    """Find or start the daemon of this person's home; return the reason if it fails."""
    from kiln_mcp.doors.bridge.program import find, own_daemon

    return find(own_daemon())


def main() -> int:
    """Run the bridge without a command, else the command line."""
    if len(sys.argv) > 1 or sys.stdin.isatty():
        from kiln_mcp.doors.cli import main as command_line

        command_line(_find_daemon)
        return 0
    from kiln_mcp.doors.bridge.program import run_bridge

    return run_bridge()
