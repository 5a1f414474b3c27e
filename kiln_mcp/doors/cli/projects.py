"""The command that lists the projects a person has opened, and settles what their names mean."""

import os
import sys
from pathlib import Path

import click

from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects
from kiln_mcp.workbench.plain_text import for_terminal
from storage.errors import WorkbenchError

_Folder = click.Path(path_type=Path)


@click.command()
@click.option("--keep-name", type=_Folder, help="Let the project's name mean the one in here.")
@click.option("--forget", type=_Folder, help="Know the project in here no longer; it stays there.")
def projects(keep_name: Path | None, forget: Path | None) -> None:
    """List the projects that were opened, and say which one a name means.

    Only a person in a terminal can change what a name means.
    """
    known = KnownProjects(Settings.from_environment(os.environ).home / "projects.json")
    if (keep_name or forget) and not sys.stdin.isatty():
        raise WorkbenchError(
            "What a name means is said by a person: run kiln-mcp projects in a terminal. Nothing "
            "has been changed."
        )
    if keep_name:
        place = keep_name.expanduser().absolute()
        _say(f"'{known.keep_name(place)}' means the project in {place} from now on.")
    if forget:
        place = forget.expanduser().absolute()
        _say(f"'{known.forget(place)}' in {place} is known no longer; its files stay.")
    if keep_name or forget:
        return
    for project in known.projects():
        state = "" if project.exists else "  (not there any more)"
        click.echo(for_terminal(f"{project.name}  {project.folder}{state}"))
    if problem := known.damage():
        _say(problem)


def _say(line: str) -> None:
    click.echo(for_terminal(line), err=True)
