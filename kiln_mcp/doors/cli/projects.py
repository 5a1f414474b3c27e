"""The command that lists the projects that a person has opened, and assigns their names."""

import os
from pathlib import Path

import click

from kiln_mcp.doors.cli.terminal_output import print_note, require_terminal
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from kiln_mcp.workbench.known_projects import KnownProjects

_Folder = click.Path(path_type=Path)


@click.command()
@click.option("--keep-name", type=_Folder, help="Let the name mean the project in this folder.")
@click.option("--forget", type=_Folder, help="Forget the project in this folder; its files stay.")
def projects(keep_name: Path | None, forget: Path | None) -> None:
    """List the opened projects, and assign a name to one of them.

    Only a person in a terminal can change what a name means.
    """
    records = KnownProjects(Settings.from_environment(os.environ).home / "projects.json")
    if keep_name or forget:
        require_terminal("projects")
    if keep_name:
        place = keep_name.expanduser().absolute()
        print_note(f"'{records.keep_name(place)}' means the project in {place} from now on.")
    if forget:
        place = forget.expanduser().absolute()
        print_note(f"'{records.forget(place)}' in {place} is forgotten; its files stay.")
    if keep_name or forget:
        return
    for project in records.projects():
        state = "" if project.exists else "  (missing)"
        click.echo(for_terminal(f"{project.name}  {project.folder}{state}"))
    if problem := records.damage():
        print_note(problem)
