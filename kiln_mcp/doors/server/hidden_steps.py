"""Next steps that name a tool which the client's model does not see."""

from collections.abc import Mapping

from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.tool_choice import ToolChoice
from kiln_mcp.errors import UnknownCapability

_STEPS, _RESULT, _JOBS = "next", "result", "jobs"


def with_ways_to_hidden_tools(
    data: Mapping[str, JsonValue], catalogue: Catalogue, choice: ToolChoice
) -> dict[str, JsonValue]:
    """Return an answer whose next steps say how to reach tools that are not shown.

    Args:
        data: The answer.
        catalogue: The tools.
        choice: The sets that the client is shown.
    """
    return {name: _with_ways(name, value, catalogue, choice) for name, value in data.items()}


def _with_ways(name: str, value: JsonValue, catalogue: Catalogue, choice: ToolChoice) -> JsonValue:
    """Return a field of an answer; the jobs of a list and the result of a job have steps, too."""
    if name == _STEPS and isinstance(value, list):
        return [_with_way(step, catalogue, choice) for step in value]
    if name == _RESULT and isinstance(value, dict):
        return with_ways_to_hidden_tools(value, catalogue, choice)
    if name == _JOBS and isinstance(value, list):
        return [
            with_ways_to_hidden_tools(job, catalogue, choice) if isinstance(job, dict) else job
            for job in value
        ]
    return value


def _with_way(step: JsonValue, catalogue: Catalogue, choice: ToolChoice) -> JsonValue:
    if not isinstance(step, dict) or not isinstance(tool := step.get("tool"), str):
        return step
    try:
        toolset = catalogue.find(tool).discovery.toolset
    except UnknownCapability:
        return step
    if choice.shows(toolset):
        return step
    way = (
        f"not one of your tools: ask the person to run kiln-mcp {tool.replace('_', '-')}, or to "
        f"start this server with --toolsets {toolset.value}"
    )
    reason = step.get("reason")
    return {**step, "reason": f"{reason} ({way})" if reason else way}
