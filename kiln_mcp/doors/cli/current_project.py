"""The project of the current folder, for commands that name none."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from pydantic import JsonValue

PROJECT: Final = "project"
_PROJECT_FILE: Final = "project.kiln"
"""As `storage.format.layout` has it, which imports every kind of record."""


def with_project(arguments: "Mapping[str, JsonValue]") -> "dict[str, JsonValue]":
    """Return the arguments of a command that needs a project, with the current folder's one.

    Raises:
        click.UsageError: The current folder lies in no project.
    """
    if PROJECT in arguments or set(arguments) == {"approval_id"}:
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
    return next((place for place in places if (place / _PROJECT_FILE).is_file()), None)
