"""The command by which a person trusts a project's folder, in a terminal only."""

import os
from pathlib import Path
from typing import Final

import click

from kiln_mcp.doors.cli.terminal_output import one_line, print_note, require_terminal
from kiln_mcp.projects.records.programs import list_programs
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from kiln_mcp.workbench.folder_trust import Trust
from storage.errors import WorkbenchError
from storage.text.excerpts import with_remainder

_MOST_LINES: Final = 20
_ALLOWS: Final = (
    "It may then run, with your rights: the code of its code evaluators and code tools, the MCP "
    "tool servers that it starts, and other programs that it names. That includes "
    "later changes in the folder, such as by a sync."
)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--list", "lists", is_flag=True, help="Only list the trusted folders.")
@click.option("--revoke", is_flag=True, help="Stop trusting the folder.")
def trust(folder: Path | None, lists: bool, revoke: bool) -> None:
    """Let a project run its own programs: code evaluators, tool servers.

    Without a folder, the current one. Opening and reading a project never needs this. Only a
    person in a terminal can answer.
    """
    trusted = Trust(Settings.from_environment(os.environ).home)
    if lists:
        _list(trusted)
        return
    require_terminal("trust")
    place = (folder or Path.cwd()).expanduser().absolute()
    if revoke:
        was_trusted = trusted.revoke(place)
        print_note(
            f"{place} is not trusted any more." if was_trusted else f"{place} was not trusted."
        )
        return
    if trusted.is_trusted(place):
        print_note(f"{place} is trusted already; --revoke ends that.")
        return
    _show(place, list_programs(place))
    if not click.confirm("Trust it?", err=True):
        print_note("It is not trusted. Nothing has been changed.")
        return
    trusted.grant(place)
    print_note(f"{place} is trusted; kiln-mcp trust --revoke ends that.")


def _list(trusted: Trust) -> None:
    if damage := trusted.damage():
        raise WorkbenchError(damage)
    for record in trusted.folders():
        other = "" if trusted.is_trusted(record.folder) else "  (another folder lies there now)"
        click.echo(for_terminal(f"{record.trusted_at:%Y-%m-%d}  {record.folder}{other}"))
    if not trusted.folders():
        print_note("No folder is trusted.")


def _show(place: Path, programs: list[str]) -> None:
    print_note(f"Trust {place}? {_ALLOWS}")
    for line in with_remainder(programs[:_MOST_LINES], len(programs)):
        print_note(f"  {one_line(line)}")
    if not programs:
        print_note("  It names none now.")
