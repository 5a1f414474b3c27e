"""The values that checks compare: extraction from an output, comparison as text and as sets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.evaluator import Skipped, missing_reference
from kiln_mcp.run_configs.errors import ExtractionFailed, unusable_pattern
from kiln_mcp.run_configs.templates import (
    Case,
    check_expression,
    extract,
    mentions,
    value_of,
)
from storage import Contains, ExactMatch
from storage.isolation.outcomes import Invalid
from storage.isolation.patterns import check_pattern, find_pattern
from storage.isolation.pool import shared_pool
from storage.text.excerpts import excerpt


@dataclass(frozen=True, slots=True)
class ExtractedValue:
    """The value that an expression takes from a case."""

    value: JsonValue


async def extract_value(
    expression: str | None, case: Case
) -> ExtractedValue | CheckResult | Skipped:
    """Return the value to compare; an output without one fails, a case without trace is skipped."""
    if case.trace is None and await mentions(expression, "trace"):
        return Skipped("missing_trace", "The expression needs the trace, and none was kept.")
    try:
        return ExtractedValue(await extract(expression, case))
    except ExtractionFailed as failure:
        return CheckResult(passed=False, detail=str(failure))


def expected_value(literal: object, reference_key: str | None, case: Case) -> object:
    """Return what an output is compared with: the item's reference, or the literal without a key.

    Returns:
        The value, or `Skipped` if the item lacks the reference.
    """
    if reference_key is None:
        return literal
    return missing_reference((reference_key,), case) or (case.reference or {})[reference_key]


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
            return frozenset({as_text(value)})
    if isinstance(value, list | tuple | set | frozenset | dict):
        return frozenset(as_text(item) for item in cast("Sequence[object]", value))
    return frozenset({as_text(value)})


def quote(text: str) -> str:
    """Return a short quotation of a compared text."""
    return repr(excerpt(text, 60))


@dataclass(frozen=True, slots=True)
class TextPair:
    """Two texts to compare, in small letters if case does not count.

    Attributes:
        actual: The value of the output.
        expected: The value to compare it with.
        detail: Both as they are, for a person.
    """

    actual: str
    expected: str
    detail: str


async def text_pair(
    properties: ExactMatch | Contains, expected: str | None, case: Case
) -> TextPair | CheckResult | Skipped:
    """Return the output's value and the expected one as texts; an output without a value fails.

    Args:
        properties: The settings of a check that compares texts.
        expected: The fixed value; None for the item's reference.
        case: The item with its output.

    Raises:
        EvalError: The expression cannot be used, or passed a limit.
    """
    expectation = expected_value(expected, properties.reference_key, case)
    if isinstance(expectation, Skipped):
        return expectation
    extraction = await extract_value(properties.value_expression, case)
    if not isinstance(extraction, ExtractedValue):
        return extraction
    texts = as_text(extraction.value), as_text(expectation)
    detail = f"{quote(texts[0])} against {quote(texts[1])}"
    if not properties.case_sensitive:
        texts = texts[0].casefold(), texts[1].casefold()
    return TextPair(*texts, detail)
