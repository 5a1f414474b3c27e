"""The pages of jobs."""

from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.operations.job_control.pages import JobPage, newest_jobs, read_job
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

PREFIX: Final = "kiln://jobs/"
MOST_LISTED: Final = 50


def job_uri(job_id: str) -> str:
    """Return the address of a job's page."""
    return f"{PREFIX}{job_id}"


def job_of(uri: str) -> str:
    """Return the id of the job that an address names.

    Raises:
        MCPError: It is not the address of a job.
    """
    job = uri.removeprefix(PREFIX)
    if not uri.startswith(PREFIX) or not job or "/" in job:
        raise no_such_page(uri, f"There is no resource {excerpt(uri)!r}. Jobs are at {PREFIX}<id>.")
    return job


def no_such_page(uri: str, sentence: str) -> MCPError:
    """Return the protocol's error for a missing resource."""
    return MCPError(types.INVALID_PARAMS, sentence, {"uri": excerpt(uri)})


class JobPages:
    """The pages of jobs.

    Attributes:
        template: The template of their addresses.
    """

    template: Final = types.ResourceTemplate(
        uri_template=f"{PREFIX}{{job}}",
        name="job",
        title="A job",
        description=(
            "State, progress, cost, events, partial results and result of a job, by its id."
        ),
        mime_type="application/json",
    )

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def list(self, workspace: Workspace) -> list[types.Resource]:
        """List the pages of the newest jobs; check_job lists older ones.

        Raises:
            MCPError: The jobs cannot be read.
        """
        try:
            pages = await newest_jobs(workspace, MOST_LISTED)
        except WorkbenchError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        return [self._resource(page) for page in pages]

    async def read(self, workspace: Workspace, uri: str) -> dict[str, JsonValue]:
        """Return the data of a job's page.

        Raises:
            WorkbenchError: No job has this id.
            MCPError: It is not the address of a job.
        """
        return plain(await read_job(workspace, job_of(uri)))

    def _resource(self, page: JobPage) -> types.Resource:
        title = self._title(page.capability)
        so_far = "" if page.total is None else f" {page.done:g} of {page.total:g}"
        progress = f"{page.state}{so_far}, started {page.created[:16].replace('T', ' ')} UTC"
        return types.Resource(
            uri=job_uri(page.job),
            name=f"{title} ({page.job})",
            title=f"{title}: {progress}",
            description=page.message,
            mime_type="application/json",
        )

    def _title(self, capability: str) -> str:
        try:
            return self._catalogue.find(capability).title
        except UnknownCapability:  # of an extension that is no longer installed
            return capability
