"""Jinja templates and expressions over an item, in a sandbox that changes nothing."""

import json
import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from kiln_mcp.evals.errors import ExtractionFailed, UnusableTemplate

LONGEST_PRODUCT: Final = 1_000_000
_TAG: Final = re.compile(r"</?([a-z][a-z0-9_-]*)>")


@dataclass(frozen=True, slots=True)
class Case:
    """An item as an evaluator sees it.

    Attributes:
        task_input: The task's input.
        final_message: The output to be judged.
        trace: The conversation, OpenAI-style messages; None where none was kept.
        reference: What the output may be compared with, by key; None where there is none.
    """

    task_input: str
    final_message: str
    trace: tuple[Mapping[str, JsonValue], ...] | None = None
    reference: Mapping[str, JsonValue] | None = None


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that also refuses to build huge values."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        sizes = [len(value) for value in (left, right) if isinstance(value, Sized)]
        counts = [abs(value) for value in (left, right) if isinstance(value, int)]
        if operator == "**" or (sizes and counts and sizes[0] * counts[0] > LONGEST_PRODUCT):
            raise ExtractionFailed("The expression builds a value that is too large.")
        return cast("object", super().call_binop(context, operator, left, right))


def _from_json(value: object) -> JsonValue:
    """Read JSON text, as the filter `fromjson`."""
    if not isinstance(value, str):
        raise ExtractionFailed("Only text can be read as JSON.")
    try:
        return cast("JsonValue", json.loads(value))
    except ValueError as error:
        raise ExtractionFailed(f"The text is not valid JSON: {error}.") from error


def _format_trace(value: object) -> str:
    """Write a conversation as text, one labelled block a message."""
    if not isinstance(value, list | tuple):
        raise ExtractionFailed("There is no trace to write out.")
    messages = cast("list[Mapping[str, JsonValue]]", list(cast("list[object]", value)))
    return "\n\n".join(f"[{m.get('role', '?')}]\n{m.get('content') or ''}" for m in messages)


@lru_cache(maxsize=2)
def _environment(*, strict: bool) -> _Sandbox:
    environment = _Sandbox(
        undefined=StrictUndefined if strict else Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["fromjson"] = _from_json
    environment.filters["format_trace"] = _format_trace
    return environment


def check_expression(expression: str) -> None:
    """Refuse an expression that is not valid Jinja.

    Raises:
        UnusableTemplate: Its syntax is wrong.
    """
    try:
        _environment(strict=False).compile_expression(expression, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise UnusableTemplate(expression, error.message or "its syntax is wrong") from error


def extract(expression: str | None, case: Case) -> object:
    """Return the value of an expression over a case; the output itself where there is none.

    Raises:
        UnusableTemplate: The expression's syntax is wrong.
        ExtractionFailed: It finds nothing in this case.
    """
    if not expression:
        return case.final_message
    check_expression(expression)
    compiled = _environment(strict=False).compile_expression(expression, undefined_to_none=False)
    try:
        value: object = compiled(**_names(case))
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise ExtractionFailed(f"{expression!r} cannot be computed: {error}.") from error
    if isinstance(value, Undefined):
        raise ExtractionFailed(f"{expression!r} finds nothing in the output.")
    return value


def mentions(expression: str | None, name: str) -> bool:
    """Return whether an expression uses a name, such as `trace`."""
    if not expression:
        return False
    try:
        parsed = _environment(strict=False).parse("{{ " + expression + " }}")
    except TemplateSyntaxError:
        return False
    return name in meta.find_undeclared_variables(parsed)


def check_template(template: str) -> None:
    """Refuse a judge's template that is not valid or never shows the judge the item.

    Raises:
        UnusableTemplate: Its syntax is wrong, or it names neither output, trace nor input.
    """
    environment = _environment(strict=True)
    try:
        used = meta.find_undeclared_variables(environment.parse(template))
    except TemplateSyntaxError as error:
        raise UnusableTemplate(template, error.message or "its syntax is wrong") from error
    if not used & {"final_message", "trace", "task_input"}:
        raise UnusableTemplate(template, "it shows the judge nothing of the item")


def render_template(template: str, case: Case, instructions: str = "") -> str:
    """Return a judge's prompt with the case put in.

    Whatever in the case looks like a tag of the template loses its angle bracket, so that text
    under judgement cannot leave the place that it was put in.

    Raises:
        UnusableTemplate: The syntax is wrong.
        ExtractionFailed: The template needs something that this case does not have.
    """
    tags = frozenset(_TAG.findall(template))
    names = {key: _defused(value, tags) for key, value in _names(case).items()}
    try:
        compiled = _environment(strict=True).from_string(template)
        return compiled.render(**names, judge_instructions=instructions)
    except TemplateSyntaxError as error:
        raise UnusableTemplate(template, error.message or "its syntax is wrong") from error
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise ExtractionFailed(f"The judge's template cannot be filled: {error}.") from error


def _names(case: Case) -> Mapping[str, object]:
    return {
        "final_message": case.final_message,
        "task_input": case.task_input,
        "trace": None if case.trace is None else [dict(message) for message in case.trace],
        "reference_data": None if case.reference is None else dict(case.reference),
    }


def _defused(value: object, tags: frozenset[str]) -> object:
    if isinstance(value, str):
        if not tags:
            return value
        names = "|".join(re.escape(tag) for tag in sorted(tags, key=len, reverse=True))
        return re.sub(rf"<(?=[\W_]*(?:{names}))", "&lt;", value, flags=re.IGNORECASE)
    if isinstance(value, list):
        return [_defused(item, tags) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value)
        return {key: _defused(item, tags) for key, item in parts.items()}
    return value
