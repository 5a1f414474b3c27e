"""Where the person stands: the project, what is weak about it, its jobs, and the next best step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast
from urllib.parse import unquote

from pydantic import JsonValue

from agent.events import Effect
from agent.job_watch import UNDER_WAY
from agent.mcp_tools import arguments_of
from agent.server_tools import ServerError
from agent.tool_server import ToolServer
from kiln_mcp.llm import ToolCall
from storage.errors import WorkbenchError

_DESCRIBE: Final = "describe_project"
_JOBS: Final = "check_job"
_PROJECTS: Final = "kiln://projects/"
_MOST_FAULTS: Final = 5
_MOST_JOBS: Final = 5
_MOST_PROJECTS: Final = 10

JsonObject = Mapping[str, JsonValue]


class Briefing(Protocol):
    """Says where the person stands."""

    def note(self, call: ToolCall, effect: Effect) -> None:
        """Note a call: it may name another project, or change something."""
        ...

    async def text(self) -> str:
        """Return where the person stands, if that changed since the last time; else nothing."""
        ...


class NoBriefing:
    """Says nothing."""

    def note(self, call: ToolCall, effect: Effect) -> None:
        """Do nothing."""

    async def text(self) -> str:
        """Return nothing."""
        return ""


@dataclass(slots=True)
class ProjectBriefing:
    """Says where the person stands in the project that they last worked on.

    Attributes:
        server: The workbench.
        folder: Where kiln-chat was started; it may be a project.
        project: The project, by name or folder; empty if none is known.
    """

    server: ToolServer
    folder: Path
    project: str = ""
    _is_stale: bool = True
    _last_text: str = ""

    def note(self, call: ToolCall, effect: Effect) -> None:
        """Note a call: it may name another project, or change something."""
        try:
            project = arguments_of(call).get("project")
        except WorkbenchError:
            return
        if isinstance(project, str) and project and project != self.project:
            self.project, self._is_stale = project, True
        if effect is not Effect.READS:
            self._is_stale = True

    async def text(self) -> str:
        """Return where the person stands, if that changed since the last time; else nothing."""
        if not self._is_stale or _DESCRIBE not in self.server.tools:
            return ""
        self._is_stale = False
        lines = [*await self._project_lines(), *await self._job_lines()]
        text = "\n".join(lines)
        is_new, self._last_text = text != self._last_text, text
        return text if is_new else ""

    async def _project_lines(self) -> list[str]:
        if not self.project and (self.folder / "project.kiln").is_file():
            self.project = str(self.folder)
        if not self.project:
            names = await self._project_names()
            if len(names) != 1:
                names_text = ", ".join(names[:_MOST_PROJECTS])
                return [f"Projects: {names_text or 'none yet'}. None is chosen."]
            self.project = names[0]
        answer = await self.server.call(_DESCRIBE, {"project": self.project}, _ignore)
        if answer.failed or not isinstance(answer.structured, dict):
            return [f"Project {self.project}: {answer.text}"]
        return list(_lines_of_project(answer.structured))

    async def _project_names(self) -> list[str]:
        try:
            uris = await self.server.connection.resource_uris()
        except ServerError:
            return []
        names = [uri.removeprefix(_PROJECTS) for uri in uris if uri.startswith(_PROJECTS)]
        return [unquote(name) for name in names if name and "/" not in name]

    async def _job_lines(self) -> list[str]:
        answer = await self.server.call(_JOBS, {"count": _MOST_JOBS}, _ignore)
        report = answer.structured
        jobs = report.get("jobs") if isinstance(report, dict) else None
        return [
            f"Job {job.get('job')} ({job.get('capability')}) is {job.get('state')}: "
            f"{job.get('done')} of {job.get('total')}."
            for job in _objects(jobs)
            if job.get("state") in UNDER_WAY
        ]


def _lines_of_project(report: JsonObject) -> Iterator[str]:
    yield f"Project {report.get('project')} in {report.get('folder')}."
    for task in _objects(report.get("tasks")):
        yield (
            f"Task {task.get('name')}: {task.get('runs')} runs, {task.get('specs')} specs, "
            f"{task.get('run_configs')} run configs."
        )
        for fault in _texts(task.get("weaknesses"))[:_MOST_FAULTS]:
            yield f"Weak: {fault}"
        for step in _objects(task.get("next"))[:1]:
            yield f"Next best step: {_step(step)}"
    for problem in (*_texts(report.get("jobs_set_aside")), *_texts(report.get("unreadable"))):
        yield f"Waits: {problem}"
    for step in _objects(report.get("next"))[:1]:
        yield f"Next best step: {_step(step)}"


def _step(step: JsonObject) -> str:
    arguments = step.get("arguments")
    return f"{step.get('tool')} {arguments or ''}: {step.get('reason')}."


def _objects(value: JsonValue) -> list[JsonObject]:
    entries = value if isinstance(value, list) else []
    return [cast("JsonObject", entry) for entry in entries if isinstance(entry, dict)]


def _texts(value: JsonValue) -> Sequence[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


async def _ignore(progress: float, total: float | None, message: str | None) -> None:
    """Take no notice of the progress."""
