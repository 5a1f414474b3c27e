"""Completions: the values that fit what a person has begun to type as an argument."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, cast

import anyio.to_thread
import mcp_types as types
from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.job_resources import MOST_LISTED
from kiln_mcp.doors.server.prompts import find_workflow
from kiln_mcp.operations.job_control.pages import newest_jobs
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

_log = logging.getLogger(__name__)

MOST_VALUES: Final = 100
"""The most values of an answer, by the protocol."""
RECORD_KINDS: Final[Mapping[str, str]] = {
    "task": "task",
    "spec": "spec",
    "eval": "eval",
    "evaluator": "evaluator",
    "run_config": "run_config",
    "baseline": "run_config",
    "prompt": "prompt",
}
"""The kind of record that an argument names, by the argument's name."""


class Completions:
    """Completes the arguments of prompts and of addresses."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def complete(
        self, context: Context, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        """Return the values that hold what was typed, those that begin with it first.

        Raises:
            MCPError: There is no such prompt.
        """
        if isinstance(params.ref, types.PromptReference):
            find_workflow(params.ref.name)
        arguments = (params.context.arguments if params.context else None) or {}
        text = params.argument.value.strip()
        values: Sequence[str] = ()
        try:
            values = await self._values(
                context.lifespan_context, params.argument.name, arguments.get("project", ""), text
            )
        except WorkbenchError as error:  # a project that is still being typed, or a damaged file
            _log.debug("nothing completes %s: %s", params.argument.name, error)
        matches = _matches(values, text)
        completion = types.Completion(
            values=matches[:MOST_VALUES],
            has_more=len(matches) >= MOST_VALUES,
        )
        return types.CompleteResult(completion=completion)

    async def _values(
        self, workspace: Workspace, argument: str, project: str, text: str
    ) -> Sequence[str]:
        match argument:
            case "project":
                return await anyio.to_thread.run_sync(_project_references, workspace)
            case "model":
                return await self._models(workspace)
            case "job":
                return [page.job for page in await newest_jobs(workspace, MOST_LISTED)]
            case _ if argument in RECORD_KINDS:
                return await self._records(workspace, RECORD_KINDS[argument], project, text)
            case _:
                return []

    async def _models(self, workspace: Workspace) -> list[str]:
        answer = await self._catalogue.perform(workspace, "list_models", {})
        entries = _entries(answer["models"])
        siblings = [name for entry in entries for name in _texts(entry.get("siblings"))]
        return [*(str(entry["name"]) for entry in entries), *siblings]

    async def _records(self, workspace: Workspace, kind: str, project: str, text: str) -> list[str]:
        """Return the names of records; the ids of those whose name is not theirs alone."""
        if not project:
            projects = await anyio.to_thread.run_sync(_project_references, workspace)
            if len(projects) != 1:
                return []
            project = projects[0]
        arguments: dict[str, JsonValue] = {
            "project": project,
            "kind": kind,
            "text": text,
            "limit": MOST_VALUES,
        }
        answer = await self._catalogue.perform(workspace, "find", arguments)
        entries = _entries(answer["records"])
        counts = Counter(str(entry["label"]) for entry in entries)
        return [
            str(entry["label"] if counts[str(entry["label"])] == 1 else entry["id"])
            for entry in entries
        ]


def _project_references(workspace: Workspace) -> list[str]:
    """Return the names of the projects that exist; the folders of those that share a name."""
    projects = [project for project in workspace.projects.projects() if project.exists]
    counts = Counter(project.name.casefold() for project in projects)
    return [
        project.name
        if project.name and (counts[project.name.casefold()] == 1 or project.keeps_name)
        else str(project.folder)
        for project in reversed(projects)
    ]


def _matches(values: Sequence[str], text: str) -> list[str]:
    """Return the values that hold a text, each once; those that begin with it first."""
    key = text.casefold()
    matches = [value for value in dict.fromkeys(values) if key in value.casefold()]
    return sorted(matches, key=lambda value: not value.casefold().startswith(key))


def _entries(value: JsonValue) -> list[dict[str, JsonValue]]:
    return cast("list[dict[str, JsonValue]]", value)


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
