"""The command line: every capability as a command, and commands for setup and service.

Without a command it serves MCP over standard input and output, as a client starts it. Names and
short helps come from `command_table`; the module of a command is imported when it is invoked.
"""

import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from kiln_mcp import __version__
from kiln_mcp.doors.border.extensions import CAPABILITIES as EXTENSION_GROUP
from kiln_mcp.doors.border.extensions import may_be_installed
from kiln_mcp.doors.border.tool_choice import OUTPUT_SCHEMAS_VARIABLE, TOOLSETS_VARIABLE
from kiln_mcp.doors.cli.command_table import CAPABILITIES, OTHERS
from kiln_mcp.doors.cli.failures import run_guarded
from kiln_mcp.doors.interrupts import end_in_time, raise_interrupts
from kiln_mcp.garbage import collect_rarely, no_collection

if TYPE_CHECKING:
    from kiln_mcp.doors.cli.daemon_door import DaemonDoor

MODULES: Final[Mapping[str, str]] = {
    "allow": "kiln_mcp.doors.cli.approvals",
    "approve": "kiln_mcp.doors.cli.approvals",
    "demo": "kiln_mcp.doors.cli.demo",
    "doctor": "kiln_mcp.doors.cli.clients",
    "gate": "kiln_mcp.doors.cli.gate",
    "install": "kiln_mcp.doors.cli.clients",
    "label": "kiln_mcp.doors.cli.label",
    "models": "kiln_mcp.doors.cli.models",
    "projects": "kiln_mcp.doors.cli.projects",
    "serve": "kiln_mcp.doors.cli.service",
    "skills": "kiln_mcp.doors.cli.skills",
    "trust": "kiln_mcp.doors.cli.trust",
    "uninstall": "kiln_mcp.doors.cli.clients",
    "worker": "kiln_mcp.doors.cli.service",
}
"""The module of each command that is no capability; its name is the attribute of the module."""


SETUP: Final = "Setup and service"
EXTENSIONS: Final = "Extensions"
HEADINGS: Final = (
    SETUP,
    *dict.fromkeys(entry.heading for entry in CAPABILITIES.values()),
    EXTENSIONS,
)
"""The headings of the help, in their order."""
_HEADINGS_OF_OTHERS: Final[Mapping[str, str]] = {"label": "Judges"}
"""The headings of commands that are no capabilities, and no setup either."""
_WORD: Final = re.compile(r"[a-z]{3,}")
_STEM_LENGTH: Final = 6
"""Letters by which words are the same: "optimise", "optimising"."""
_NAME_WEIGHT: Final = 9
"""A word of a command's name counts as much as so many elsewhere."""


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


_LONGEST_HELP: Final = 200
"""Characters of a command's help in the list; it takes two lines where it must."""


class _Commands(click.Group):
    """The group of commands: those of the table, then those of extensions."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands under their headings."""
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                help_text = command.get_short_help_str(limit=_LONGEST_HELP)
                rows[_heading_of(name)].append((name, help_text))
        for heading, entries in rows.items():
            if entries:
                with formatter.section(heading):
                    formatter.write_dl(entries)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for another word that people say for one, name that one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            matches = commands_for(args[0]) if "Did you mean" not in str(error) else []
            if not matches:
                raise
            names = " or ".join(f"'{name}'" for name in matches)
            ctx.fail(f"No such command {args[0]!r}. Did you mean {names}?")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(_extension_names() if may_be_installed(sys.path) else ())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("_", "-")
        own = super().get_command(ctx, name)
        if own is not None or name not in _extension_names():
            return own
        return _load_capability(name)


def _heading_of(command: str) -> str:
    if command in OTHERS:
        return _HEADINGS_OF_OTHERS.get(command, SETUP)
    entry = CAPABILITIES.get(command)
    return EXTENSIONS if entry is None else entry.heading


def commands_for(words: str) -> list[str]:
    """Return up to three commands for which people say these words, the best first."""
    stems = {name: Counter(_stems(_text_of(name))) for name in CAPABILITIES}
    holders = Counter(stem for counts in stems.values() for stem in counts)
    query = [stem for stem in _stems(words) if stem in holders]
    scores = {
        name: sum(counts[stem] / holders[stem] for stem in query) for name, counts in stems.items()
    }
    matches = [name for name in scores if scores[name] > 0]
    return sorted(matches, key=lambda name: -scores[name])[:3]


def _text_of(command: str) -> str:
    entry = CAPABILITIES[command]
    names = f"{command} " * _NAME_WEIGHT
    return f"{names}{entry.help} {entry.words}"


def _stems(text: str) -> list[str]:
    return [word[:_STEM_LENGTH] for word in _WORD.findall(text.casefold())]


def _extension_names() -> list[str]:
    from importlib.metadata import entry_points

    if not entry_points(group=EXTENSION_GROUP):
        return []  # a word that is no command is refused without the capabilities' imports
    from kiln_mcp.catalogue import installed_catalogue

    names = [item.name.replace("_", "-") for item in installed_catalogue().capabilities]
    return [name for name in names if name not in CAPABILITIES]


def _load_capability(name: str, daemon: "DaemonDoor | None" = None) -> click.Command:
    from kiln_mcp.doors.cli.capabilities import (
        command_of,
        installed_listing,
        needed_arguments,
        ranges_in,
    )

    tool = name.replace("-", "_")
    entry = CAPABILITIES.get(name)
    listing = None if daemon is None or entry is None else daemon.listing(tool)
    if entry is None or listing is None:
        own = installed_listing(tool)
        return command_of(own, needed_arguments(tool), ranges_in(own["inputSchema"]))
    return command_of(listing, entry.needs, entry.ranges)


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
            _TableCommand(name, partial(_load_capability, name), short_help=entry.help)
            for name, entry in CAPABILITIES.items()
        ),
    ],
)
@click.version_option(__version__)
@click.option(
    "--toolsets", metavar="SETS", help="Show an assistant more sets of tools: team, admin."
)
@click.option("--output-schemas", is_flag=True, help="Show an assistant the schemas of answers.")
@click.pass_context
def cli(context: click.Context, *, toolsets: str | None, output_schemas: bool) -> None:
    """Measure an AI feature and make it better.

    Without a command, serves MCP over standard input and output for an assistant. A command works
    on the project of the current folder, unless --project names another one.
    """
    if context.invoked_subcommand is None:
        raise_interrupts()
        if toolsets is not None:
            os.environ[TOOLSETS_VARIABLE] = toolsets
        if output_schemas:
            os.environ[OUTPUT_SCHEMAS_VARIABLE] = "1"
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
    collect_rarely()
    code = run_guarded(lambda: cli.main(standalone_mode=False, obj=daemon))
    end_in_time(code)
    sys.exit(code)
