"""The program that a client starts over stdio: it carries messages to and from the daemon.

It uses the standard library alone, so that it starts in a few hundredths of a second. The daemon
has imported the slow libraries already. The bridge speaks both protocol eras and starts the daemon
if none runs. If that fails, or KILN_MCP_DAEMON is "off", it serves MCP in its own process.
"""

import sys
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from kiln_mcp.doors.bridge.discovery import Daemon, home_folder
    from kiln_mcp.doors.bridge.http_client import Exchange
    from kiln_mcp.doors.bridge.tool_calls import ToolCalls
    from kiln_mcp.doors.bridge.transport import Bridge

__all__ = ["Bridge", "Daemon", "Exchange", "home_folder", "main"]


_MODULES = {
    "Bridge": "kiln_mcp.doors.bridge.transport",
    "Daemon": "kiln_mcp.doors.bridge.discovery",
    "Exchange": "kiln_mcp.doors.bridge.http_client",
    "home_folder": "kiln_mcp.doors.bridge.discovery",
}


def __getattr__(name: str) -> object:
    """Import a name at its first use: a command such as `--help` needs none of them."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _OwnDaemon:
    """The daemon of this person's home, as the command line uses it."""

    @property
    def home(self) -> "Path":
        """The home."""
        from kiln_mcp.doors.bridge.program import own_daemon

        return own_daemon().home

    def listing(self, tool: str) -> Mapping[str, Any] | None:
        """Return a tool as clients see it in the list; None if an extension may change the list."""
        return self._tools.get(tool)

    @cached_property
    def _tools(self) -> Mapping[str, Mapping[str, Any]]:
        from kiln_mcp.doors.border.tool_choice import TOOLSETS, ToolChoice
        from kiln_mcp.doors.bridge.first_answers import load_first_answers

        answers = load_first_answers(sys.path, ToolChoice(TOOLSETS))
        return {tool["name"]: tool for tool in (answers and answers.tools) or ()}

    def find(self) -> str | None:
        """Find or start it; return the reason if that fails."""
        from kiln_mcp.doors.bridge.program import find, own_daemon

        return find(own_daemon())

    def running_tools(self) -> "ToolCalls | None":
        """Return the tools of the daemon that runs; None if none runs."""
        from kiln_mcp.doors.bridge.program import running_tools

        return running_tools()


def _has_only_options(words: list[str]) -> bool:
    """Take the options of the bridge; return whether there is nothing else.

    They are the variables of this process, so that all that it starts has them, too.
    """
    import os

    from kiln_mcp.doors.border.tool_choice import options_in

    try:
        variables = options_in(words)
    except ValueError as error:
        sys.stderr.write(f"kiln-mcp: {error}\n")
        sys.exit(2)
    os.environ.update(variables or {})
    return variables is not None


def main() -> int:
    """Run the bridge without a command, else the command line."""
    if sys.stdin.isatty() or not _has_only_options(sys.argv[1:]):
        from kiln_mcp.doors.interrupts import end_at_interrupt

        end_at_interrupt()
        from kiln_mcp.doors.cli import main as command_line

        command_line(_OwnDaemon())
        return 0
    from kiln_mcp.doors.bridge.program import run_bridge

    return run_bridge()
