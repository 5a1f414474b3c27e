"""The conversation has the expected tool calls."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.trace import MISSING_TRACE, TraceCall, tool_calls
from kiln_mcp.evaluators.value_extraction import as_text, check_patterns, is_match
from kiln_mcp.run_configs.item_templates import Case
from storage import ArgMatch, EvalConfig, ToolCallCheck, ToolCallSpec


class ToolCallDefinition(ToolCallCheck, EvaluatorDefinition):
    """The conversation has the expected tool calls."""

    async def check_logic(self) -> None:
        """Refuse an argument's pattern that is no regular expression."""
        arguments = [
            argument
            for tool in self.expected_tools
            for argument in (tool.expected_args or {}).values()
        ]
        await check_patterns(
            [as_text(argument.value) for argument in arguments if argument.match_mode == "regex"]
        )


@dataclass(frozen=True, slots=True)
class ToolCallEvaluator(Check):
    """Compares the tool calls of the conversation with those expected."""

    properties: ToolCallCheck

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Compare the tool calls of one conversation."""
        if case.trace is None:
            return MISSING_TRACE
        calls = tool_calls(case.trace)
        names = ", ".join(call.name for call in calls) or "none"
        return CheckResult(await _fits(calls, self.properties), f"tool calls: {names}")


async def _fits(calls: Sequence[TraceCall], settings: ToolCallCheck) -> bool:
    specs = settings.expected_tools
    # Which call fits which expected tool: a row for each call.
    table = [[await _is_call(call, spec) for spec in specs] for call in calls]
    matches = [any(row[place] for row in table) for place in range(len(specs))]
    match settings.match_mode:
        case "never":
            return not any(matches)
        case "any":
            fits = any(matches)
        case "all":
            fits = all(matches)
        case "ordered":
            rest = iter(table)
            fits = all(any(row[place] for row in rest) for place in range(len(specs)))
    if settings.on_unexpected_tools == "fail":
        fits = fits and all(map(any, table))
    return fits


async def _is_call(call: TraceCall, spec: ToolCallSpec) -> bool:
    if call.name != spec.tool_name:
        return False
    for name, expected in (spec.expected_args or {}).items():
        if name not in call.arguments or not await _is_argument(call.arguments[name], expected):
            return False
    return True


async def _is_argument(value: JsonValue, expected: ArgMatch) -> bool:
    match expected.match_mode:
        case "exact":
            return value == expected.value
        case "contains":
            return as_text(expected.value) in as_text(value)
        case "regex":
            return await is_match(as_text(expected.value), as_text(value))


def _open(record: EvalConfig) -> ToolCallEvaluator:
    return ToolCallEvaluator(properties_of(record, ToolCallCheck))


KIND = EvaluatorKind("tool_call_check", _open, ToolCallDefinition)
