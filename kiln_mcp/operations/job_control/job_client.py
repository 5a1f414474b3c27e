"""The job client of a workspace."""

from kiln_mcp.jobs import JobClient
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal


def job_client_of(workspace: Workspace) -> JobClient:
    """Return the job client of a workspace.

    Raises:
        Refusal: This workspace was opened without jobs.
    """
    if workspace.job_client is None:
        raise Refusal(
            "This process runs no jobs. Start the tool through `kiln-mcp` or `kiln-mcp serve`."
        )
    return workspace.job_client
