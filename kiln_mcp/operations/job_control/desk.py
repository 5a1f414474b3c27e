"""Where jobs are handed in, for those who need one."""

from kiln_mcp.jobs import JobDesk
from kiln_mcp.operations.job_control.errors import NoJobsHere
from kiln_mcp.workbench.workspace import Workspace


def desk_of(workspace: Workspace) -> JobDesk:
    """Return where jobs are handed in.

    Raises:
        NoJobsHere: This workspace has none.
    """
    if workspace.desk is None:
        raise NoJobsHere
    return workspace.desk
