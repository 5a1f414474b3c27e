"""The conversation behind an output: its tool calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Skipped

MISSING_TRACE: Final = Skipped("missing_trace", "This check needs the trace, and none was kept.")


@dataclass(frozen=True, slots=True)
class TraceCall:
    """A tool call of the model; arguments that cannot be read are empty."""

    name: str
    arguments: Mapping[str, JsonValue]


def tool_calls(trace: Sequence[Mapping[str, JsonValue]]) -> list[TraceCall]:
    """Return the tool calls of a conversation in their order."""
    result: list[TraceCall] = []
    for message in trace:
        calls = message.get("tool_calls")
        if message.get("role") != "assistant" or not isinstance(calls, list):
            continue
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                result.append(_tool_call(function))
    return result


def _tool_call(function: Mapping[str, JsonValue]) -> TraceCall:
    arguments: JsonValue = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = cast("JsonValue", json.loads(arguments))
        except (ValueError, RecursionError):
            arguments = None
    return TraceCall(
        name=str(function.get("name", "")),
        arguments=arguments if isinstance(arguments, dict) else {},
    )
