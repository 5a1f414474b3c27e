"""The project of the current folder, for commands that name none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from pydantic import JsonValue

from kiln_mcp.workbench.capability import AnyCapability
from storage.format.layout import PROJECT_FILE

PROJECT: Final = "project"


def with_project(item: AnyCapability, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the arguments of a command, with the current folder's project if they need one.

    Raises:
        click.UsageError: The current folder lies in no project.
    """
    field = item.arguments.model_fields.get(PROJECT)
    is_approved_call = set(arguments) == {"approval_id"}
    if field is None or not field.is_required() or PROJECT in arguments or is_approved_call:
        return dict(arguments)
    folder = project_around(Path.cwd())
    if folder is None:
        raise click.UsageError(
            "Missing option '--project': name a project or its folder, or run the command in one. "
            "kiln-mcp projects lists those that you have opened."
        )
    return {PROJECT: str(folder), **arguments}


def project_around(folder: Path) -> Path | None:
    """Return the project's folder that a folder is or lies in; None if there is none."""
    places = (folder, *folder.parents)
    return next((place for place in places if (place / PROJECT_FILE).is_file()), None)
