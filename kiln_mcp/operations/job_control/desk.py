"""The desk of a workspace, where jobs are handed in."""

from kiln_mcp.jobs import JobDesk
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal


def desk_of(workspace: Workspace) -> JobDesk:
    """Return the desk of a workspace.

    Raises:
        Refusal: This workspace was opened without jobs.
    """
    if workspace.desk is None:
        raise Refusal(
            "This process runs no jobs. Start the tool through `kiln-mcp` or `kiln-mcp serve`."
        )
    return workspace.desk
