"""Our keys in a run config's properties. Kiln passes them over, and drops them when it saves."""

from typing import Final, cast

from kiln_mcp.run_configs.tool_loop import USUAL_LIMITS, ToolLimits
from storage import KilnAgentProperties

MAX_TOKENS: Final = "max_tokens"
TOOL_TURNS: Final = "kiln_mcp_tool_turns"
TOOL_CALLS: Final = "kiln_mcp_tool_calls"
TOOL_SECONDS: Final = "kiln_mcp_tool_seconds"
TOOL_TEXTS: Final = "kiln_mcp_tool_texts"
"""Descriptions of tools and bodies of skills, by names such as "tool search", "skill look-up"."""


def own_number(properties: KilnAgentProperties, key: str) -> int | None:
    """Return a positive number of ours; None if there is none."""
    value = (properties.model_extra or {}).get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return None
    return value


def tool_limits(properties: KilnAgentProperties) -> ToolLimits:
    """Return how far a model may go with its tools."""
    usual = USUAL_LIMITS
    return ToolLimits(
        turns=own_number(properties, TOOL_TURNS) or usual.turns,
        calls=own_number(properties, TOOL_CALLS) or usual.calls,
        seconds=own_number(properties, TOOL_SECONDS) or usual.seconds,
    )


def tool_texts(properties: KilnAgentProperties) -> dict[str, str]:
    """Return the texts of tools and skills that take the place of their own."""
    value = (properties.model_extra or {}).get(TOOL_TEXTS)
    if not isinstance(value, dict):
        return {}
    texts = cast("dict[object, object]", value)
    return {str(name): text for name, text in texts.items() if isinstance(text, str) and text}
