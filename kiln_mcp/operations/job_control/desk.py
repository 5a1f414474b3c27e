"""Where jobs are handed in, for those who need one."""

from kiln_mcp.jobs import JobDesk
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal


def desk_of(workspace: Workspace) -> JobDesk:
    """Return where jobs are handed in.

    Raises:
        Refusal: This workspace was opened without jobs.
    """
    if workspace.desk is None:
        raise Refusal(
            "This process runs no jobs. Start the tool through `kiln-mcp` or `kiln-mcp serve`."
        )
    return workspace.desk
