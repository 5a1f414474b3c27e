"""Deterministic evaluators: exact match, pattern, contains, sets, and checks of a trace.

An output from which the value cannot be taken fails. A missing reference or trace is not the
model's fault: such an item is skipped.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from kiln_mcp.evals.errors import ExtractionFailed, UnusableTemplate
from kiln_mcp.evals.expressions import Case, extract, mentions
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
class _ToolCall:
    name: str
    arguments: Mapping[str, JsonValue]


def run_check(check: Check, case: Case) -> Checked | Skipped:
    """Return the verdict of a deterministic evaluator on one case.

    Raises:
        UnusableTemplate: The check's own expression or pattern is not valid.
    """
    match check:
        case ToolCallCheck() | StepCountCheck():
            return _check_trace(check, case)
        case PatternMatch():
            return _with_value(check.value_expression, case, lambda value: _pattern(check, value))
        case ExactMatch() | Contains() | SetCheck():
            expected = _expected(check, case)
            if isinstance(expected, Skipped):
                return expected
            return _with_value(
                check.value_expression, case, lambda value: _compare(check, value, expected)
            )


def as_text(value: object) -> str:
    """Return a value as it is compared: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def as_set(value: object) -> frozenset[str]:
    """Return the items of a value: of a list, a JSON list in text, or an object's keys."""
    if isinstance(value, str):
        try:
            value = cast("object", json.loads(value)) if value.lstrip()[:1] == "[" else value
        except ValueError:
            return frozenset({as_text(value)})
    if isinstance(value, list | tuple | set | frozenset | dict):
        return frozenset(as_text(item) for item in cast("Sequence[object]", value))
    return frozenset({as_text(value)})


def _with_value(
    expression: str | None, case: Case, verdict: Callable[[object], Checked]
) -> Checked | Skipped:
    if case.trace is None and mentions(expression, "trace"):
        return Skipped("missing_trace", "The expression needs the trace, and none was kept.")
    try:
        return verdict(extract(expression, case))
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


def _pattern(check: PatternMatch, value: object) -> Checked:
    given = as_text(value)
    try:
        found = re.search(check.pattern, given) is not None
    except re.error as error:
        raise UnusableTemplate(check.pattern, f"as a regular expression: {error}") from error
    return Checked(
        found == (check.mode == "must_match"),
        f"{check.pattern!r} {'found' if found else 'not found'} in {_short(given)}",
    )


def _check_trace(check: ToolCallCheck | StepCountCheck, case: Case) -> Checked | Skipped:
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
    return Checked(_fits(calls, check), f"tool calls: {made}")


def _fits(calls: Sequence[_ToolCall], check: ToolCallCheck) -> bool:
    wanted = check.expected_tools
    made = [any(_is_call(call, spec) for call in calls) for spec in wanted]
    match check.match_mode:
        case "never":
            return not any(made)
        case "any":
            fits = any(made)
        case "all":
            fits = all(made)
        case "ordered":
            rest = iter(calls)
            fits = all(any(_is_call(call, spec) for call in rest) for spec in wanted)
    if check.on_unexpected_tools == "fail":
        fits = fits and all(any(_is_call(call, spec) for spec in wanted) for call in calls)
    return fits


def _is_call(call: _ToolCall, spec: ToolCallSpec) -> bool:
    if call.name != spec.tool_name:
        return False
    expected = spec.expected_args or {}
    return all(
        name in call.arguments and _is_argument(call.arguments[name], wanted)
        for name, wanted in expected.items()
    )


def _is_argument(value: JsonValue, wanted: ArgMatch) -> bool:
    match wanted.match_mode:
        case "exact":
            return value == wanted.value
        case "contains":
            return as_text(wanted.value) in as_text(value)
        case "regex":
            try:
                return re.search(as_text(wanted.value), as_text(value)) is not None
            except re.error as error:
                pattern = as_text(wanted.value)
                raise UnusableTemplate(pattern, f"as a regular expression: {error}") from error


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
        except ValueError:
            arguments = None
    return _ToolCall(
        name=str(function.get("name", "")),
        arguments=arguments if isinstance(arguments, dict) else {},
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
