"""The values that checks compare: extraction from an output, comparison as text and as sets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.errors import unusable_pattern
from kiln_mcp.evaluators.evaluator import Skipped, missing_reference
from kiln_mcp.evaluators.references import REFERENCE_KEY, other_right_outputs
from kiln_mcp.evaluators.text_comparison import json_text, normal_text
from kiln_mcp.run_configs.errors import ExtractionFailed, constant_logic
from kiln_mcp.run_configs.item_templates import (
    Case,
    check_expression,
    extract,
    mentions,
    value_of,
)
from storage import ComparisonRules, Contains, ExactMatch, SetCheck
from storage.isolation.outcomes import Invalid
from storage.isolation.patterns import check_pattern, find_constant, find_pattern
from storage.isolation.pool import shared_pool

_USUAL_RULES: Final = ComparisonRules()
_MOST_REMEMBERED: Final = 256
_accepted_patterns: Final[set[str]] = set()


@dataclass(frozen=True, slots=True)
class ExtractedValue:
    """The value that an expression takes from a case."""

    value: JsonValue


async def extract_value(
    expression: str | None, case: Case
) -> ExtractedValue | CheckResult | Skipped:
    """Return the value to compare; an output without one fails, a case without trace is skipped."""
    if expression:
        await check_expression(expression)
    if case.trace is None and await mentions(expression, "trace"):
        return Skipped("missing_trace", "The expression needs the trace, and none was kept.")
    try:
        return ExtractedValue(await extract(expression, case))
    except ExtractionFailed as failure:
        return CheckResult(passed=False, detail=str(failure), is_unread=True)


async def expected_values(
    literal: JsonValue, reference_key: str | None, expression: str | None, case: Case
) -> tuple[JsonValue, ...] | Skipped:
    """Return what an output is compared with: the item's reference, or the literal without a key.

    An expression that takes a field of the output takes the same field of a reference that is an
    object. Of any other reference the expression takes nothing.

    Returns:
        The right values, the reference first; or `Skipped` if the item lacks the reference.

    Raises:
        EvalError: The expression cannot be used, or passed a limit.
    """
    if reference_key is None:
        return (literal,)
    missing = missing_reference((reference_key,), case)
    if missing is not None:
        return missing
    other_outputs = other_right_outputs(case.reference) if reference_key == REFERENCE_KEY else ()
    references = ((case.reference or {})[reference_key], *other_outputs)
    return tuple([await _expected_value(reference, expression, case) for reference in references])


async def _expected_value(reference: JsonValue, expression: str | None, case: Case) -> JsonValue:
    text = as_text(reference)
    if not expression or not text.lstrip().startswith("{"):
        return reference
    try:
        return await extract(expression, replace(case, final_message=text))
    except ExtractionFailed:
        return reference


async def check_value_expression(expression: str | None) -> None:
    """Refuse an expression that is not valid; none is valid.

    Raises:
        EvalError: It is not valid Jinja.
    """
    if expression:
        await check_expression(expression)


async def check_patterns(patterns: Sequence[str]) -> None:
    """Refuse patterns that are no regular expressions.

    Raises:
        EvalError: One of them is not.
    """
    for pattern in patterns:
        fault = await check_pattern(shared_pool(), pattern)
        if fault is not None:
            raise unusable_pattern(pattern, fault.reason)


async def check_search(pattern: str) -> None:
    """Refuse a pattern that is found in no text, or in every text.

    Raises:
        EvalError: It is no regular expression, or gives the same answer in every text.
    """
    if pattern in _accepted_patterns:
        return
    answer = await find_constant(shared_pool(), pattern)
    if answer == "never":
        raise constant_logic("pattern", pattern, "no text can match it")
    if answer == "always":
        raise constant_logic("pattern", pattern, "every text matches it, the empty one too")
    if isinstance(answer, Invalid):
        raise unusable_pattern(pattern, answer.reason)
    if len(_accepted_patterns) >= _MOST_REMEMBERED:
        _accepted_patterns.clear()
    _accepted_patterns.add(pattern)


async def is_match(pattern: str, text: str) -> bool:
    """Return whether a pattern matches anywhere in a text.

    Raises:
        EvalError: It is no regular expression, or passed a limit.
    """
    answer = await find_pattern(shared_pool(), pattern, text)
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, Invalid):
        raise unusable_pattern(pattern, answer.reason)
    return bool(value_of(answer, "pattern", pattern))


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
            return frozenset({_item_text(value)})
    if isinstance(value, list | tuple | set | frozenset | dict):
        return frozenset(_item_text(item) for item in cast("Sequence[object]", value))
    return frozenset({_item_text(value)})


def _item_text(item: object) -> str:
    """Return an item as text in which equal items look the same."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    return normal_text(json_text(cast("JsonValue", item)), _USUAL_RULES)


@dataclass(frozen=True, slots=True)
class ValuePair:
    """What an output has, and what it is compared with.

    Attributes:
        actual: The output's value.
        expected: The right values, the reference first: each of them is right.
    """

    actual: JsonValue
    expected: tuple[JsonValue, ...]


async def value_pair(
    properties: ExactMatch | Contains | SetCheck, literal: JsonValue, case: Case
) -> ValuePair | CheckResult | Skipped:
    """Return the output's value and the right ones; an output without a value fails.

    Args:
        properties: The settings of a check that compares values.
        literal: The fixed value; None for the item's reference.
        case: The item with its output.

    Raises:
        EvalError: The expression cannot be used, or passed a limit.
    """
    expression = properties.value_expression
    expectation = await expected_values(literal, properties.reference_key, expression, case)
    if isinstance(expectation, Skipped):
        return expectation
    extraction = await extract_value(expression, case)
    if not isinstance(extraction, ExtractedValue):
        return extraction
    return ValuePair(extraction.value, expectation)
