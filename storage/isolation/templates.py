"""Jinja templates and expressions over an item, in a sandbox that changes nothing.

Everything here runs in a worker, compiling included: a constant expression is computed then.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sized
from functools import lru_cache
from typing import Any, Final, cast

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from storage.isolation.worker_tasks import Reply

LONGEST_PRODUCT: Final = 1_000_000
_TAG: Final = re.compile(r"</?([a-z][a-z0-9_-]*)>")
_OF_ITEM: Final = frozenset({"final_message", "trace", "task_input"})
_USUAL: Final = (TemplateError, ArithmeticError, TypeError, ValueError, LookupError)


class _ItemError(Exception):
    """A filter cannot be applied to this item."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that also refuses to build huge values."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        sizes = [len(value) for value in (left, right) if isinstance(value, Sized)]
        counts = [abs(value) for value in (left, right) if isinstance(value, int)]
        if operator == "**" or (sizes and counts and sizes[0] * counts[0] > LONGEST_PRODUCT):
            raise _ItemError("it builds a value that is too large")
        return cast("object", super().call_binop(context, operator, left, right))


def _from_json(value: object) -> object:
    """Read JSON text, as the filter `fromjson`."""
    if not isinstance(value, str):
        raise _ItemError("only text can be read as JSON")
    try:
        return cast("object", json.loads(value))
    except ValueError as error:
        raise _ItemError(f"the text is not valid JSON: {error}") from error
    except RecursionError as error:
        raise _ItemError("the text is JSON that is nested too deeply") from error


def _format_trace(value: object) -> str:
    """Write a conversation as text, one labelled block a message."""
    if not isinstance(value, list | tuple):
        raise _ItemError("there is no trace to write out")
    messages = cast("list[Mapping[str, Any]]", list(cast("list[object]", value)))
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


@lru_cache(maxsize=256)
def _compiled_expression(expression: str) -> Any:  # Jinja returns a callable without a type
    return _environment(strict=False).compile_expression(expression, undefined_to_none=False)


@lru_cache(maxsize=256)
def _compiled_template(template: str) -> Any:  # the same
    return _environment(strict=True).from_string(template)


def run_check_expression(expression: str) -> Reply:
    """Run in a worker: compile an expression and return the names that it uses."""
    try:
        _compiled_expression(expression)
        tree = _environment(strict=False).parse("{{ " + expression + " }}")
    except TemplateSyntaxError as error:
        return {"invalid": error.message or "its syntax is wrong"}
    except TemplateError as error:
        return {"invalid": str(error)}
    return {"value": sorted(meta.find_undeclared_variables(tree))}


def run_expression(expression: str, names: Mapping[str, Any]) -> Reply:
    """Run in a worker: compute an expression; its value comes as JSON."""
    try:
        value: object = _compiled_expression(expression)(**names)
        if isinstance(value, Undefined):
            return {"failed": "finds nothing in the output"}
        return {"value": _plain(value)}
    except TemplateSyntaxError as error:
        return {"invalid": error.message or "its syntax is wrong"}
    except _ItemError as failure:
        return {"failed": str(failure)}
    except _USUAL as error:
        return {"failed": f"cannot be computed: {error}"}


def _plain(value: object) -> object:
    """Return a value that JSON can hold."""
    if isinstance(value, Iterator):
        value = list(cast("Iterator[object]", value))
    return cast("object", json.loads(json.dumps(value, default=str)))


def run_check_template(template: str) -> Reply:
    """Run in a worker: compile a judge's template, which must show the judge the item."""
    environment = _environment(strict=True)
    try:
        names = meta.find_undeclared_variables(environment.parse(template))
        _compiled_template(template)
    except TemplateSyntaxError as error:
        return {"invalid": error.message or "its syntax is wrong"}
    except TemplateError as error:
        return {"invalid": str(error)}
    if not names & _OF_ITEM:
        return {"invalid": "it shows the judge nothing of the item"}
    return {"value": None}


def run_template(template: str, names: Mapping[str, Any], instructions: str) -> Reply:
    """Run in a worker: fill a template.

    Whatever in the item looks like a tag of the template loses its angle bracket, so that text
    under judgement cannot leave the place that it was put in.
    """
    try:
        renderer = _compiled_template(template)
        tags = frozenset(_TAG.findall(template))
        safe_names = {key: _defuse(value, tags) for key, value in names.items()}
        return {"value": renderer.render(**safe_names, judge_instructions=instructions)}
    except TemplateSyntaxError as error:
        return {"invalid": error.message or "its syntax is wrong"}
    except _ItemError as failure:
        return {"failed": str(failure)}
    except _USUAL as error:
        return {"failed": f"cannot be filled: {error}"}


def _defuse(value: object, tags: frozenset[str]) -> object:
    if isinstance(value, str):
        if not tags:
            return value
        names = "|".join(re.escape(tag) for tag in sorted(tags, key=len, reverse=True))
        return re.sub(rf"<(?=[^<a-zA-Z0-9]*(?:{names}))", "&lt;", value, flags=re.IGNORECASE)
    if isinstance(value, list):
        return [_defuse(item, tags) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value)
        return {key: _defuse(item, tags) for key, item in parts.items()}
    return value
