"""Deterministic evaluators: exact match, pattern, contains, sets, and checks of a trace.

An output from which the value cannot be taken fails. A missing reference or trace is not the
model's fault: such an item is skipped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from kiln_mcp.run_configs.errors import ExtractionFailed, UnusableTemplate
from kiln_mcp.run_configs.templates import Case, check_expression, extract, mentions, value_of
from storage import (
    ArgMatch,
    Contains,
    ExactMatch,
    PatternMatch,
    SetCheck,
    StepCountCheck,
    ToolCallCheck,
    ToolCallSpec,
)
from storage.isolation.outcomes import Invalid
from storage.isolation.patterns import check_pattern, find_pattern
from storage.isolation.pool import shared_pool
from storage.text.excerpts import excerpt

Check = ExactMatch | PatternMatch | Contains | SetCheck | ToolCallCheck | StepCountCheck
"""The properties of an evaluator that asks no model."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict.

    Attributes:
        passed: Whether the output passes.
        detail: What was compared, for a person who wonders.
    """

    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that could not be judged for want of data.

    Attributes:
        reason: The format's word for it, such as `missing_reference_key`.
        detail: One sentence.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Value:
    value: JsonValue


@dataclass(frozen=True, slots=True)
class _ToolCall:
    name: str
    arguments: Mapping[str, JsonValue]


async def run_check(check: Check, case: Case) -> Checked | Skipped:
    """Return the verdict of a deterministic evaluator on one case.

    Raises:
        UnusableTemplate: The check's own expression or pattern is not valid.
        EvalError: Its expression or pattern passed a limit of time or memory on this case.
    """
    match check:
        case ToolCallCheck() | StepCountCheck():
            return await _check_trace(check, case)
        case PatternMatch():
            value = await _value(check.value_expression, case)
            return await _pattern(check, value.value) if isinstance(value, _Value) else value
        case ExactMatch() | Contains() | SetCheck():
            expected = _expected(check, case)
            if isinstance(expected, Skipped):
                return expected
            value = await _value(check.value_expression, case)
            return _compare(check, value.value, expected) if isinstance(value, _Value) else value


async def check_logic(check: Check) -> None:
    """Refuse a check whose expression or pattern is not valid.

    Raises:
        UnusableTemplate: It is not.
    """
    expression = getattr(check, "value_expression", None)
    if isinstance(expression, str) and expression:
        await check_expression(expression)
    for pattern in _patterns_of(check):
        fault = await check_pattern(shared_pool(), pattern)
        if fault is not None:
            raise UnusableTemplate(pattern, f"as a regular expression: {fault.reason}")


def _patterns_of(check: Check) -> list[str]:
    if isinstance(check, PatternMatch):
        return [check.pattern]
    if isinstance(check, ToolCallCheck):
        arguments = [
            arg for tool in check.expected_tools for arg in (tool.expected_args or {}).values()
        ]
        return [as_text(arg.value) for arg in arguments if arg.match_mode == "regex"]
    return []


def as_text(value: object) -> str:
    """Return a value as it is compared: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def as_set(value: object) -> frozenset[str]:
    """Return the items of a value: of a list, a JSON list in text, or an object's keys."""
    if isinstance(value, str):
        try:
            value = cast("object", json.loads(value)) if value.lstrip()[:1] == "[" else value
        except (ValueError, RecursionError):
            return frozenset({as_text(value)})
    if isinstance(value, list | tuple | set | frozenset | dict):
        return frozenset(as_text(item) for item in cast("Sequence[object]", value))
    return frozenset({as_text(value)})


async def _value(expression: str | None, case: Case) -> _Value | Checked | Skipped:
    """Return the value to compare, or the verdict if there is none."""
    if case.trace is None and await mentions(expression, "trace"):
        return Skipped("missing_trace", "The expression needs the trace, and none was kept.")
    try:
        return _Value(await extract(expression, case))
    except ExtractionFailed as failure:
        return Checked(passed=False, detail=str(failure))


def _expected(check: ExactMatch | Contains | SetCheck, case: Case) -> object:
    key = check.reference_key
    if key is None:
        match check:
            case ExactMatch():
                return check.expected_value
            case Contains():
                return check.substring
            case SetCheck():
                return check.expected_set
    value = (case.reference or {}).get(key)
    if value is None:
        return Skipped("missing_reference_key", f"The item has no reference {key!r}.")
    return value


def _compare(check: ExactMatch | Contains | SetCheck, value: object, expected: object) -> Checked:
    if isinstance(check, SetCheck):
        found, wanted = as_set(value), as_set(expected)
        passed = {
            "subset": found <= wanted,
            "superset": found >= wanted,
            "equal": found == wanted,
        }[check.mode]
        return Checked(passed, f"{sorted(found)} as {check.mode} of {sorted(wanted)}")
    given, wanted_text = as_text(value), as_text(expected)
    shown = f"{_short(given)} against {_short(wanted_text)}"
    if not check.case_sensitive:
        given, wanted_text = given.casefold(), wanted_text.casefold()
    if isinstance(check, ExactMatch):
        return Checked(given == wanted_text, shown)
    return Checked((wanted_text in given) == (check.mode == "must_contain"), shown)


async def _pattern(check: PatternMatch, value: JsonValue) -> Checked:
    text = as_text(value)
    is_match = await _is_match(check.pattern, text)
    return Checked(
        is_match == (check.mode == "must_match"),
        f"{check.pattern!r} {'found' if is_match else 'not found'} in {_short(text)}",
    )


async def _is_match(pattern: str, text: str) -> bool:
    answer = await find_pattern(shared_pool(), pattern, text)
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, Invalid):
        raise UnusableTemplate(pattern, f"as a regular expression: {answer.reason}")
    return bool(value_of(answer, "pattern", pattern))


async def _check_trace(check: ToolCallCheck | StepCountCheck, case: Case) -> Checked | Skipped:
    if case.trace is None:
        return Skipped("missing_trace", "This check needs the trace, and none was kept.")
    calls = _tool_calls(case.trace)
    if isinstance(check, StepCountCheck):
        count = {
            "tool_calls": len(calls),
            "model_responses": sum(m.get("role") == "assistant" for m in case.trace),
            "turns": sum(m.get("role") == "user" for m in case.trace),
        }[check.count_type]
        low = check.min_count is None or count >= check.min_count
        high = check.max_count is None or count <= check.max_count
        return Checked(low and high, f"{count} {check.count_type}")
    made = ", ".join(call.name for call in calls) or "none"
    return Checked(await _fits(calls, check), f"tool calls: {made}")


async def _fits(calls: Sequence[_ToolCall], check: ToolCallCheck) -> bool:
    specs = check.expected_tools
    # Which call fits which expected tool: a row for each call.
    table = [[await _is_call(call, spec) for spec in specs] for call in calls]
    made = [any(row[place] for row in table) for place in range(len(specs))]
    match check.match_mode:
        case "never":
            return not any(made)
        case "any":
            fits = any(made)
        case "all":
            fits = all(made)
        case "ordered":
            rest = iter(table)
            fits = all(any(row[place] for row in rest) for place in range(len(specs)))
    if check.on_unexpected_tools == "fail":
        fits = fits and all(map(any, table))
    return fits


async def _is_call(call: _ToolCall, spec: ToolCallSpec) -> bool:
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
            return await _is_match(as_text(expected.value), as_text(value))


def _tool_calls(trace: Sequence[Mapping[str, JsonValue]]) -> list[_ToolCall]:
    found: list[_ToolCall] = []
    for message in trace:
        calls = message.get("tool_calls")
        if message.get("role") != "assistant" or not isinstance(calls, list):
            continue
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                found.append(_tool_call(function))
    return found


def _tool_call(function: Mapping[str, JsonValue]) -> _ToolCall:
    arguments: JsonValue = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = cast("JsonValue", json.loads(arguments))
        except (ValueError, RecursionError):
            arguments = None
    return _ToolCall(
        name=str(function.get("name", "")),
        arguments=arguments if isinstance(arguments, dict) else {},
    )


def _short(text: str) -> str:
    return repr(excerpt(text, 60))
