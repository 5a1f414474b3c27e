"""Whether a path lies where data may be written without asking: the project, or the home."""

from pathlib import Path

from kiln_mcp.workspace import Workspace
from storage import ProjectStore


def outside(workspace: Workspace, store: ProjectStore, path: Path) -> str:
    """Return a path outside the project's and the home's folders, links followed; else ""."""
    target = path.resolve()
    inside = (store.folder.resolve(), workspace.settings.home.resolve())
    return "" if any(target.is_relative_to(folder) for folder in inside) else str(target)
