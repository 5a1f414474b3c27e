"""The command that writes the workflows as skills into a folder."""

from pathlib import Path

import click

from kiln_mcp.doors.cli.terminal_output import print_note
from kiln_mcp.home import write_private


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def skills(folder: Path) -> None:
    """Write the workflows as skills into a folder, such as ~/.claude/skills.

    Each is a folder with a SKILL.md. One that is there already is written again.
    """
    from kiln_mcp.doors.server.workflows import FILE_NAME, load_skills

    for skill in load_skills():
        file = folder.expanduser() / skill.name / FILE_NAME
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, skill.content)
        print_note(f"{file} is written.")
