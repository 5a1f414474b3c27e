"""The command by which a person trusts a project's folder, in a terminal alone."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from kiln_mcp.projects.records.programs import list_programs
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.plain_text import for_terminal
from kiln_mcp.workbench.trust import Trust
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

_LONGEST_LINE: Final = 200
_MOST_LINES: Final = 20
_ALLOWS: Final = (
    "It may then run, with your rights: the code of its code evaluators and code tools, the MCP "
    "tool servers that it starts, and other programs that it names. That holds for what is "
    "changed in the folder later too, such as by sync_project."
)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--list", "lists", is_flag=True, help="Only list the folders that are trusted.")
@click.option("--revoke", is_flag=True, help="Trust the folder no longer.")
def trust(folder: Path | None, lists: bool, revoke: bool) -> None:
    """Let a project run its own programs: code evaluators, tool servers.

    Without a folder, the current one. Opening and reading a project never needs this. Only a
    person in a terminal can answer.
    """
    trusted = Trust(Settings.from_environment(os.environ).home)
    if lists:
        _list(trusted)
        return
    if not sys.stdin.isatty():
        raise WorkbenchError(
            "Trust is given by a person: run kiln-mcp trust in a terminal. Nothing has been "
            "changed."
        )
    place = (folder or Path.cwd()).expanduser().absolute()
    if revoke:
        was = trusted.revoke(place)
        _say(f"{place} is trusted no longer." if was else f"{place} was not trusted.")
        return
    if trusted.is_trusted(place):
        _say(f"{place} is trusted already; --revoke takes it back.")
        return
    _show(place, list_programs(place))
    if not click.confirm("Trust it?", err=True):
        _say("It is not trusted. Nothing has been changed.")
        return
    trusted.grant(place)
    _say(f"{place} is trusted; kiln-mcp trust --revoke takes it back.")


def _list(trusted: Trust) -> None:
    if damage := trusted.damage():
        raise WorkbenchError(damage)
    for record in trusted.folders():
        other = "" if trusted.is_trusted(record.folder) else "  (another folder lies there now)"
        click.echo(for_terminal(f"{record.trusted_at:%Y-%m-%d}  {record.folder}{other}"))
    if not trusted.folders():
        _say("No folder is trusted.")


def _show(place: Path, programs: list[str]) -> None:
    _say(f"Trust {place}? {_ALLOWS}")
    shown = programs[:_MOST_LINES]
    for line in shown:
        _say(f"  {excerpt(line, _LONGEST_LINE)}")
    if len(programs) > len(shown):
        _say(f"  … and {len(programs) - len(shown)} more")
    if not programs:
        _say("  Now it names none.")


def _say(line: str) -> None:
    click.echo(for_terminal(line), err=True)
