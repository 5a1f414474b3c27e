"""Where files may be written without asking: the project, and the home's folder for exports."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore

EXPORTS: Final = "exports"
"""The folder of the home for exports; all else in the home is the home's own."""


def outside(workspace: Workspace, store: ProjectStore | None, path: Path) -> str:
    """Return a path, links followed, if a person must be asked before it is written; else ""."""
    target, home = path.resolve(), workspace.settings.home.resolve()
    if target.is_relative_to(home / EXPORTS):
        return ""
    if target.is_relative_to(home):
        return str(target)
    is_inside = store is not None and target.is_relative_to(store.folder.resolve())
    return "" if is_inside else str(target)


def first_outside(workspace: Workspace, store: ProjectStore, paths: Iterable[Path]) -> str:
    """Return the first of some paths that a person must be asked about; "" if there is none."""
    return next(filter(None, (outside(workspace, store, path) for path in paths)), "")
