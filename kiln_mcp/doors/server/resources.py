"""Resources: pages of projects, specs, evals and jobs, as JSON and as text; and skills.

Whatever a page shows is the answer of a capability that only reads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

import anyio.to_thread
import mcp_types as types
from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.job_resources import PREFIX as JOBS
from kiln_mcp.doors.server.job_resources import JobPages, no_such_page
from kiln_mcp.doors.server.skills import SCHEME as SKILLS
from kiln_mcp.doors.server.skills import read_skill, skill_resources
from kiln_mcp.workbench.answer_text import render
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

PROJECTS: Final = "kiln://projects/"
MOST_PROJECTS: Final = 50


@dataclass(frozen=True, slots=True)
class PageKind:
    """A kind of page below a project.

    Attributes:
        name: The name of its template.
        title: The name for people.
        description: What the page shows.
        folder: The part of the address between the project and the record; "" for the project.
        argument: The argument of the capability that names the record; "" for the project.
        capability: The capability that answers.
        constants: Further arguments.
    """

    name: str
    title: str
    description: str
    folder: str
    argument: str
    capability: str
    constants: Mapping[str, JsonValue]

    @property
    def template(self) -> str:
        """The template of the address, as RFC 6570 has it."""
        below = f"/{self.folder}/{{{self.name}}}" if self.folder else ""
        return f"{PROJECTS}{{project}}{below}"


KINDS: Final = (
    PageKind(
        "project",
        "A project",
        "What a project holds, its weaknesses and the best next steps. Write a project's name, or "
        "the path of its folder, with percent signs for slashes.",
        "",
        "",
        "describe_project",
        {},
    ),
    PageKind(
        "spec",
        "A spec",
        "A spec in full: what a good output is. Name it by its name or id.",
        "specs",
        "record",
        "read",
        {"kind": "spec"},
    ),
    PageKind(
        "eval",
        "An eval's report",
        "An eval's evaluators, and the scores of run configs with intervals.",
        "evals",
        "eval",
        "show_results",
        {},
    ),
)


class Pages:
    """All resources of the server."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._jobs = JobPages(catalogue)

    async def list(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List the pages of known projects, of the newest jobs, and the skills."""
        workspace = context.lifespan_context
        projects = await anyio.to_thread.run_sync(_project_resources, workspace)
        jobs = await self._jobs.list(workspace)
        return types.ListResourcesResult(resources=[*projects, *jobs, *skill_resources()])

    async def list_templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return the templates of all addresses."""
        templates = [
            types.ResourceTemplate(
                uri_template=kind.template,
                name=kind.name,
                title=kind.title,
                description=kind.description,
                mime_type="application/json",
            )
            for kind in KINDS
        ]
        return types.ListResourceTemplatesResult(
            resource_templates=[*templates, self._jobs.template]
        )

    async def read(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return a page twice, as JSON and as text for people; a skill once, as Markdown.

        Raises:
            MCPError: There is no such page.
        """
        uri, workspace = str(params.uri), context.lifespan_context
        if uri.startswith(SKILLS):
            return read_skill(uri)
        try:
            if uri.startswith(JOBS):
                data = await self._jobs.read(workspace, uri)
            else:
                kind, arguments = page_of(uri)
                data = await self._catalogue.perform(workspace, kind.capability, arguments)
        except WorkbenchError as error:
            raise no_such_page(uri, str(error)) from error
        text = json.dumps(data, ensure_ascii=False, indent=2)
        return types.ReadResourceResult(
            contents=[
                types.TextResourceContents(uri=uri, mime_type="application/json", text=text),
                types.TextResourceContents(uri=uri, mime_type="text/plain", text=render(data)),
            ]
        )


def page_of(uri: str) -> tuple[PageKind, dict[str, JsonValue]]:
    """Return the kind of a project's page, and the arguments of its capability.

    Raises:
        MCPError: No template has this form.
    """
    parts = [unquote(part) for part in uri.removeprefix(PROJECTS).split("/")]
    kinds = {kind.folder: kind for kind in KINDS}
    if uri.startswith(PROJECTS) and all(parts):
        match parts:
            case [project]:
                return kinds[""], {"project": project}
            case [project, folder, record] if folder in kinds:
                kind = kinds[folder]
                return kind, {"project": project, kind.argument: record, **kind.constants}
            case _:
                pass
    templates = ", ".join([*(kind.template for kind in KINDS), f"{JOBS}{{job}}"])
    raise no_such_page(uri, f"There is no resource {excerpt(uri)!r}. Addresses are: {templates}.")


def project_uri(reference: str) -> str:
    """Return the address of a project's page.

    Args:
        reference: The project's name, or the path of its folder.
    """
    return f"{PROJECTS}{quote(reference, safe='')}"


def _project_resources(workspace: Workspace) -> list[types.Resource]:
    projects = [project for project in workspace.projects.projects() if project.exists]
    return [
        types.Resource(
            uri=project_uri(str(project.folder)),
            name=project.name or project.folder.name,
            title=f"Project {project.name or project.folder.name}",
            description=f"What the project in {project.folder} holds, and what to do next.",
            mime_type="application/json",
        )
        for project in reversed(projects[-MOST_PROJECTS:])
    ]
