"""The command line: every capability as a command, and commands for setup and service.

Without a command it serves MCP over standard input and output, as a client starts it. Names and
short helps come from `command_table`; the module of a command is imported when it is invoked.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from kiln_mcp import __version__
from kiln_mcp.doors.border.extensions import may_be_installed
from kiln_mcp.doors.cli.command_table import CAPABILITIES, OTHERS
from kiln_mcp.doors.cli.failures import run_guarded
from kiln_mcp.doors.interrupts import end_in_time, raise_interrupts
from kiln_mcp.garbage import no_collection

if TYPE_CHECKING:
    from kiln_mcp.doors.cli.daemon_door import DaemonDoor

MODULES: Final[Mapping[str, str]] = {
    "allow": "kiln_mcp.doors.cli.approvals",
    "approve": "kiln_mcp.doors.cli.approvals",
    "demo": "kiln_mcp.doors.cli.demo",
    "doctor": "kiln_mcp.doors.cli.clients",
    "install": "kiln_mcp.doors.cli.clients",
    "models": "kiln_mcp.doors.cli.models",
    "projects": "kiln_mcp.doors.cli.projects",
    "serve": "kiln_mcp.doors.cli.service",
    "skills": "kiln_mcp.doors.cli.skills",
    "trust": "kiln_mcp.doors.cli.trust",
    "uninstall": "kiln_mcp.doors.cli.clients",
    "worker": "kiln_mcp.doors.cli.service",
}
"""The module of each command that is no capability; its name is the attribute of the module."""


class _TableCommand(click.Command):
    """A command of the table, which stands for the one that `load` imports."""

    def __init__(
        self,
        name: str,
        load: "Callable[[DaemonDoor | None], click.Command]",
        *,
        help: str | None = None,
        short_help: str | None = None,
    ) -> None:
        super().__init__(name, help=help, short_help=short_help)
        self._load = load

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with no_collection():
            command = self._load(parent.obj if parent is not None else None)
        return command.make_context(info_name, args, parent, **extra)


class _Commands(click.Group):
    """The group of commands: those of the table, then those of extensions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(_extension_names() if may_be_installed(sys.path) else ())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("_", "-")
        own = super().get_command(ctx, name)
        if own is not None or name not in _extension_names():
            return own
        return _load_capability(name)


def _extension_names() -> list[str]:
    from kiln_mcp.catalogue import installed_catalogue

    names = [item.name.replace("_", "-") for item in installed_catalogue().capabilities]
    return [name for name in names if name not in CAPABILITIES]


def _load_capability(name: str, daemon: "DaemonDoor | None" = None) -> click.Command:
    from kiln_mcp.doors.cli.capabilities import command_of, installed_listing

    listing = None if daemon is None else daemon.listing(name.replace("-", "_"))
    return command_of(installed_listing(name) if listing is None else listing)


def load_other(name: str, _daemon: "DaemonDoor | None" = None) -> click.Command:
    """Import a command that is no capability."""
    command = getattr(import_module(MODULES[name]), name)
    raise_interrupts()
    assert isinstance(command, click.Command)
    return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    commands=[
        *(_TableCommand(name, partial(load_other, name), help=OTHERS[name]) for name in OTHERS),
        *(
            _TableCommand(name, partial(_load_capability, name), short_help=text)
            for name, text in CAPABILITIES.items()
        ),
    ],
)
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Measure an AI feature and make it better.

    Without a command, serves MCP over standard input and output for an assistant.
    """
    if context.invoked_subcommand is None:
        raise_interrupts()
        serve_over_stdio()


def serve_over_stdio() -> None:
    """Serve MCP over standard input and output; if that fails, tell the client the reason."""
    from kiln_mcp.doors.cli import service

    service.serve_over_stdio()


def main(daemon: "DaemonDoor | None" = None) -> None:
    """Run the command line; every failure is one sentence on stderr and an exit code.

    Args:
        daemon: Finds, starts and asks the daemon; None for none.
    """
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("KILN_MCP_LOG", "WARNING").upper())
    code = run_guarded(lambda: cli.main(standalone_mode=False, obj=daemon))
    end_in_time(code)
    sys.exit(code)
