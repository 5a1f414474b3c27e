"""Resources: a page for each job, as JSON and as text."""

import json
from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.context import Context
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.operations.job_control.pages import JobPage, newest_jobs, read_job
from kiln_mcp.workbench.plain_text import plain, render
from storage.errors import WorkbenchError
from storage.text.characters import repair_texts
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


def _json(page: JobPage) -> str:
    return json.dumps(repair_texts(page.model_dump(mode="json")), ensure_ascii=False, indent=2)


def no_such_page(uri: str, sentence: str) -> MCPError:
    """Return the protocol's error for a missing resource."""
    return MCPError(types.INVALID_PARAMS, sentence, {"uri": excerpt(uri)})


class JobPages:
    """The resources of jobs."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def list(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List the pages of the newest jobs; list_jobs shows older ones."""
        try:
            pages = await newest_jobs(context.lifespan_context, MOST_LISTED)
        except WorkbenchError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        return types.ListResourcesResult(resources=[self._resource(page) for page in pages])

    async def list_templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return the template of a job's address."""
        template = types.ResourceTemplate(
            uri_template=f"{PREFIX}{{job}}",
            name="job",
            title="A job",
            description=(
                "State, progress, cost, events, partial results and result of a job, by its id."
            ),
            mime_type="application/json",
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return a job's page twice: as JSON, and as text for people."""
        uri = str(params.uri)
        try:
            page = await read_job(context.lifespan_context, job_of(uri))
        except WorkbenchError as error:
            raise no_such_page(uri, str(error)) from error
        return types.ReadResourceResult(
            contents=[
                types.TextResourceContents(uri=uri, mime_type="application/json", text=_json(page)),
                types.TextResourceContents(
                    uri=uri, mime_type="text/plain", text=render(plain(page))
                ),
            ]
        )

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
