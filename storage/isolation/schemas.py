"""Whether a JSON value fits a JSON Schema (draft 2020-12). Nothing is fetched for a `$ref`.

A plain schema is checked in this process: its keywords take time that is linear in the value, and
it holds few enough of them. A worker checks the others: patterns that are not linear, `$ref` that
recurs, `uniqueItems`, unevaluated properties, keywords that are not known.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue

from storage.isolation.fixed_schema import sorted_text
from storage.isolation.flat_schemas import flat_check
from storage.isolation.outcomes import Failed, Invalid, Outcome, Value
from storage.isolation.patterns import found_at_once
from storage.isolation.schema_inspection import find_fault, pattern_texts, work_of
from storage.isolation.worker_tasks import Reply

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

    from storage.isolation.pool import WorkerPool

_LONGEST_MESSAGE: Final = 300
_TOO_DEEP: Final = "it is nested too deeply"
_LONGEST_PLAIN: Final = 20_000
_LONGEST_CHECKED: Final = 5_000
_MOST_WORK: Final = 1_000_000
"""Size of the schema times length of the value, for a check in this process."""

Verdict = str | None
"""What keeps a value from fitting a schema; None if it fits."""


def problem_with(pool: "WorkerPool", value: JsonValue, schema: Mapping[str, JsonValue]) -> Verdict:
    """Return what keeps a value from fitting a schema. Blocks: call it in a thread.

    Raises:
        ValueError: The schema itself cannot be used.
    """
    text = _text(schema)
    if _is_accepted(text, value):
        return None
    value_text = _value_text(value)
    if is_quick(text, len(value_text)):
        with suppress(_NeedsWorker):
            return _problem(text, value)
    arguments: dict[str, JsonValue] = {"schema": text, "value": value_text}
    return _verdict(pool.run("schema", text, arguments))


async def find_problem(
    pool: "WorkerPool", value: JsonValue, schema: Mapping[str, JsonValue]
) -> Verdict:
    """Return what keeps a value from fitting a schema, without blocking the event loop.

    Raises:
        ValueError: The schema itself cannot be used.
    """
    text = _text(schema)
    if _is_accepted(text, value):
        return None
    value_text = _value_text(value)
    if is_quick(text, len(value_text)):
        with suppress(_NeedsWorker):
            return _problem(text, value)
    arguments: dict[str, JsonValue] = {"schema": text, "value": value_text}
    return _verdict(await pool.ask("schema", text, arguments))


async def find_schema_fault(pool: "WorkerPool", schema: Mapping[str, JsonValue]) -> str | None:
    """Return why a schema cannot be saved; None if it can."""
    text = _text(schema)
    quick = _quick_fault(text)
    if quick is not None:
        return quick or None
    return _fault(await pool.ask("check_schema", text, {"schema": text}))


def schema_fault(pool: "WorkerPool", schema_text: str) -> str | None:
    """Return why a schema cannot be saved; None if it can. Blocks: call it in a thread."""
    quick = _quick_fault(schema_text)
    if quick is not None:
        return quick or None
    return _fault(pool.run("check_schema", schema_text, {"schema": schema_text}))


@lru_cache(maxsize=256)
def _quick_fault(schema_text: str) -> str | None:
    """Return why a plain schema cannot be saved, empty if it can; None if a worker must tell."""
    if len(schema_text) > _LONGEST_CHECKED or _work_of(schema_text) is None:
        return None
    return str(run_check_schema(schema_text).get("invalid", ""))


def _fault(outcome: Outcome) -> str | None:
    match outcome:
        case Value():
            return None
        case Invalid(reason):
            return reason
        case Failed(reason):
            return f"checking it {reason}"


class _NeedsWorker(Exception):
    """A pattern cannot be run on this text in this process."""


def _text(schema: Mapping[str, JsonValue]) -> str:
    """Return a schema as JSON.

    Raises:
        ValueError: It is nested too deeply, or is no JSON.
    """
    try:
        return sorted_text(schema)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _value_text(value: JsonValue) -> str:
    """Return a value as JSON.

    Raises:
        ValueError: It is nested too deeply.
    """
    try:
        return json.dumps(value)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _is_accepted(schema_text: str, value: JsonValue) -> bool:
    """Return whether a flat schema accepts a value; False if only jsonschema can tell."""
    if len(schema_text) > _LONGEST_CHECKED:
        return False
    accepts = flat_check(schema_text)
    return accepts is not None and accepts(value)


@lru_cache(maxsize=256)
def _work_of(schema_text: str) -> int | None:
    if len(schema_text) > _LONGEST_PLAIN:
        return None
    schema: object = json.loads(schema_text)
    return work_of(cast("dict[str, object]", schema)) if isinstance(schema, dict) else None


def is_quick(schema_text: str, value_length: int) -> bool:
    """Return whether a value can be checked in this process."""
    work = _work_of(schema_text)
    return work is not None and work * value_length <= _MOST_WORK


def _verdict(outcome: Outcome) -> Verdict:
    match outcome:
        case Value(value):
            return value if isinstance(value, str) else None
        case Invalid(reason):
            raise ValueError(reason)
        case Failed(reason):
            return f"checking it against the schema {reason}"


def _problem(schema_text: str, value: JsonValue) -> Verdict:
    """Return what keeps a value from fitting a schema.

    Raises:
        ValueError: The schema cannot be used.
    """
    from jsonschema.exceptions import relevance
    from referencing.exceptions import Unresolvable

    validator = _validator(schema_text)
    # jsonschema's stubs lose the error's type behind an overload.
    errors = cast("Iterable[ValidationError]", validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    try:
        error = max(errors, key=relevance, default=None)
    except Unresolvable as missing:
        raise ValueError(f"the schema refers to what is not in it: {missing}") from missing
    except re.error as broken:
        raise ValueError(f"the schema has a pattern that is not valid: {broken}") from broken
    if error is None:
        return None
    place = "".join(f"[{part!r}]" for part in error.absolute_path)
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[: _LONGEST_MESSAGE - 1]}…"
    return f"{message} (at {place or 'the top'})"


@lru_cache(maxsize=128)
def _validator(schema_text: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    schema = json.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"the schema is not valid: {error.message}") from error
    return _validator_class()(schema, registry=Registry())


@lru_cache(maxsize=1)
def _validator_class() -> "type[Draft202012Validator]":
    """Return the validator whose keyword `pattern` is linear where that is possible."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(
        _validator: object, expression: str, value: object, _schema: object
    ) -> "Iterator[ValidationError]":
        if isinstance(value, str) and not _is_found(expression, value):
            yield ValidationError(f"{value!r} does not match {expression!r}")

    extend = cast("Callable[..., object]", validators.extend)
    return cast("type[Draft202012Validator]", extend(Draft202012Validator, {"pattern": pattern}))


def _is_found(pattern: str, text: str) -> bool:
    is_match = found_at_once(pattern, text)
    if is_match is not None:
        return is_match
    if not _in_worker.get():
        raise _NeedsWorker
    return re.search(pattern, text) is not None


_in_worker: Final = ContextVar("in_worker", default=False)


def run_schema(schema: str, value: str) -> Reply:
    """Run in a worker: check a value."""
    _in_worker.set(True)
    try:
        return {"value": _problem(schema, json.loads(value))}
    except ValueError as error:
        return {"invalid": str(error)}


def run_check_schema(schema: str) -> Reply:
    """Run in a worker: check a schema, its references and its patterns."""
    document = json.loads(schema)
    try:
        _validator(schema)
        fault = find_fault(document)
        if fault is not None:
            return {"invalid": fault}
        for pattern in pattern_texts(document):
            re.compile(pattern)
    except re.error as error:
        return {"invalid": f"it has a pattern that is not valid: {error}"}
    except ValueError as error:
        return {"invalid": str(error)}
    return {"value": None}
