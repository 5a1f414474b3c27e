"""The names that a question of the menus offers: projects, evals, specs and run configs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from pydantic import JsonValue

from agent.server_tools import ServerError
from agent.tool_server import ToolServer

_DESCRIBE: Final = "describe_project"
_PROMPT: Final = "improve_prompt"
"""A prompt of the workbench that completes the names of projects."""
_LISTS: Final = {"spec": "spec_names", "run_config": "run_config_names", "eval": "evals"}


class Places(Protocol):
    """Knows names in the workbench."""

    async def names(self, kind: str, project: str) -> Sequence[str] | None:
        """Return the names of a kind (project, eval, spec, run_config); None if nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class WorkbenchPlaces:
    """Asks the workbench.

    Attributes:
        server: The workbench.
    """

    server: ToolServer

    async def names(self, kind: str, project: str) -> Sequence[str] | None:
        """Return the names of a kind; None if the workbench does not say."""
        if kind == "project":
            try:
                return await self.server.connection.completions(_PROMPT, (kind, ""), {})
            except ServerError:  # a server without completions
                return None
        if _DESCRIBE not in self.server.tools:
            return None
        answer = await self.server.call(_DESCRIBE, {"project": project}, _ignore)
        report = answer.structured
        if answer.failed or not isinstance(report, dict):
            return None
        tasks = report.get("tasks")
        entries = [
            entry
            for task in _list(tasks)
            if isinstance(task, dict)
            for entry in _list(task.get(_LISTS[kind]))
        ]
        return [str(entry["name"] if isinstance(entry, dict) else entry) for entry in entries]


def _list(value: JsonValue) -> list[JsonValue]:
    return cast("list[JsonValue]", value) if isinstance(value, list) else []


async def _ignore(progress: float, total: float | None, message: str | None) -> None:
    """Take no notice of the progress."""
