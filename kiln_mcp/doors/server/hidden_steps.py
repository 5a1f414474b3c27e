"""Next steps that name a tool which the client's model does not see."""

from collections.abc import Mapping

from pydantic import JsonValue

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.tool_choice import ToolChoice
from kiln_mcp.errors import UnknownCapability

_STEPS = "next"


def with_ways_to_hidden_tools(
    data: Mapping[str, JsonValue], catalogue: Catalogue, choice: ToolChoice
) -> dict[str, JsonValue]:
    """Return an answer whose next steps say how to reach tools that are not shown.

    Args:
        data: The answer.
        catalogue: The tools.
        choice: The sets that the client is shown.
    """
    steps = data.get(_STEPS)
    if not isinstance(steps, list):
        return dict(data)
    return {**data, _STEPS: [_with_way(step, catalogue, choice) for step in steps]}


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
