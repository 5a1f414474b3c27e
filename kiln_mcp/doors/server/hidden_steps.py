"""Next steps and sentences that name a tool which the client's model does not see."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.tool_choice import ToolChoice
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.workbench.answer_text import STEPS
from kiln_mcp.workbench.discovery import Toolset

_RESULT, _JOBS, _ERROR = "result", "jobs", "error"


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


def with_way_in_words(sentence: str, catalogue: Catalogue, choice: ToolChoice) -> str:
    """Return the sentence of an error that says how to reach tools that it names and hides.

    A tool whose name is an ordinary word counts only where a step names it ("Next: restore").
    """
    ways = [
        f"{item.name} is {_way(item.name, item.discovery.toolset)}."
        for item in catalogue.capabilities
        if not choice.shows(item.discovery.toolset) and _names(sentence, item.name)
    ]
    return " ".join([sentence, *ways])


def _names(sentence: str, tool: str) -> bool:
    place = rf"\b{re.escape(tool)}\b" if "_" in tool else rf"Next: {re.escape(tool)}\b"
    return re.search(place, sentence) is not None


def _way(tool: str, toolset: Toolset) -> str:
    return (
        f"not one of your tools: ask the person to run kiln-mcp {tool.replace('_', '-')}, or to "
        f"start this server with --toolsets {toolset.value}"
    )


def _with_ways(name: str, value: JsonValue, catalogue: Catalogue, choice: ToolChoice) -> JsonValue:
    """Return a field of an answer; the jobs of a list and the result of a job have steps, too."""
    if name == STEPS and isinstance(value, list):
        return [_with_way(step, catalogue, choice) for step in value]
    if name == _ERROR and isinstance(value, str):
        return with_way_in_words(value, catalogue, choice)
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
    way = _way(tool, toolset)
    reason = step.get("reason")
    return {**step, "reason": f"{reason} ({way})" if reason else way}
