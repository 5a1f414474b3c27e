"""Answers that must fit a JSON schema: their text, their problems, their bounds."""

import json
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.json_pieces import json_in_string, json_pieces, read_scalar
from kiln_mcp.llm.lenient_values import (
    adapt_value,
    is_attempt,
    is_echo,
    values_in_words,
)
from kiln_mcp.llm.messages import JsonSchema, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.word_values import kinds_of
from storage.isolation.fixed_schema import ordered_text
from storage.text.excerpts import excerpt_line
from storage.text.json_schema import check_schema, find_problem

MOST_READ: Final = 12
"""Values at the end of a text that are tried."""
NO_JSON: Final = "there is no JSON in it"
_MOST_REMEMBERED: Final = 256


def instruction_for(schema: JsonSchema) -> str:
    """Return the sentence that asks for JSON, for models without a schema mode."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. It must fit "
        f"this JSON schema:\n{ordered_text(schema)}"
    )


def choices_instruction(choices: tuple[str, ...]) -> str:
    """Return the sentence that asks for one of some texts."""
    return "Answer with exactly one of these and nothing else: " + " | ".join(choices)


def read_json(text: str) -> JsonValue:
    """Return the last JSON object or list in a model's text, or the scalar that it is.

    Raises:
        ValueError: There is none, or it is broken.
    """
    pieces = json_pieces(text)
    scalar = None if pieces else read_scalar(text.strip())
    last = pieces[-1] if pieces else scalar
    if last is None:
        raise ValueError(NO_JSON)
    if last.fault:
        raise ValueError(last.fault)
    return last.value


async def read_value(text: str, schema: JsonSchema) -> tuple[JsonValue, str | None]:
    """Return the last value in a model's text that fits a schema, and its problem.

    Echoes of the schema and drafts before the last value are passed over. A later value that was
    meant for the schema and does not fit is the answer: then no draft before it counts.

    Returns:
        The value and None; or the last value and why it cannot be used.

    Raises:
        ValueError: The schema cannot be used.
    """
    text = json_in_string(text)
    value, problem = None, None
    for piece in reversed(json_pieces(text)[-MOST_READ:]):
        if piece.fault:
            if _has_kind_of(text[piece.start], schema):
                return value, problem or f"the answer is not valid JSON: {piece.fault}"
            continue
        if is_echo(piece.value, schema):
            continue
        candidate, fault = await _fit_value(piece.value, schema)
        if fault is None:
            return candidate, None
        if problem is None:
            value, problem = candidate, fault
        if is_attempt(candidate, schema):
            return value, problem
    words, fault = await _read_words(text, schema)
    return (value, problem) if problem and fault else (words, fault)


async def _read_words(text: str, schema: JsonSchema) -> tuple[JsonValue, str | None]:
    """Return the value that a text without JSON means, and its problem."""
    value, problem = None, f"the answer is not valid JSON: {NO_JSON}"
    for candidate in values_in_words(text, schema):
        fault = await find_problem(candidate, schema)
        if fault is None:
            return candidate, None
        value, problem = candidate, fault
    return value, problem


async def _fit_value(value: JsonValue, schema: JsonSchema) -> tuple[JsonValue, str | None]:
    """Return a value as it fits a schema, and its problem if it does not."""
    problem = await find_problem(value, schema)
    if problem is None:
        return value, None
    suitable = adapt_value(value, schema)
    if suitable != value and await find_problem(suitable, schema) is None:
        return suitable, None
    return value, problem


def _has_kind_of(bracket: str, schema: JsonSchema) -> bool:
    kinds = kinds_of(schema)
    return not kinds or ("object" if bracket == "{" else "array") in kinds


def unusable_schema(reason: str) -> ModelError:
    """Return the error for a schema that no answer can be checked against."""
    return ModelError(
        "No model was asked: the schema of its answer cannot be used, for {reason}. Correct the "
        "schema in task.kiln, or create another task.",
        reason=excerpt_line(reason),
    )


_usable_schemas: Final[set[str]] = set()


async def check_usable(request: ModelRequest) -> None:
    """Refuse a request whose schema no answer could be checked against, before it costs anything.

    Raises:
        ModelError: Its schema cannot be used.
    """
    if request.schema is None:
        return
    text = ordered_text(request.schema)
    if text in _usable_schemas:
        return
    try:
        await check_schema(request.schema)
    except ValueError as error:
        raise unusable_schema(str(error)) from error
    if len(_usable_schemas) >= _MOST_REMEMBERED:
        _usable_schemas.clear()
    _usable_schemas.add(text)


async def fit(answer: ModelAnswer, request: ModelRequest) -> tuple[JsonValue, str | None]:
    """Return the answer as JSON and its problem; None if it fits the request."""
    if request.choices and answer.text.strip() not in request.choices:
        return None, f"the answer must be exactly one of {list(request.choices)}"
    if request.schema is None or (answer.tool_calls and request.tools):
        return None, None
    try:
        return await read_value(answer.text, request.schema)
    except ValueError as error:
        return None, f"it cannot be checked against the schema: {error}"


def embedded(schema: JsonSchema, name: str) -> tuple[JsonSchema, dict[str, JsonValue]]:
    """Return a schema as a part of another, and what the other needs in its `$defs`.

    Args:
        schema: A whole schema, whose `$ref` begin at its own root.
        name: Its name there.
    """
    if '"$ref"' not in json.dumps(schema):
        return schema, {}
    place = f"#/$defs/{name}"
    return {"$ref": place}, {name: _move_references(dict(schema), place)}


def _move_references(value: JsonValue, place: str) -> JsonValue:
    """Return a schema whose root is now at a place of another."""
    if isinstance(value, list):
        return [_move_references(part, place) for part in value]
    if not isinstance(value, dict):
        return value
    result = {key: _move_references(part, place) for key, part in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        result["$ref"] = place + reference[1:]
    return result


def correction(answer: ModelAnswer, problem: str) -> tuple[Message, Message]:
    """Return the messages that tell a model the problem with its answer."""
    return (
        Message("assistant", answer.text),
        Message(
            "user",
            f"That answer cannot be used: {problem}. Give the whole answer again, corrected, and "
            "nothing else.",
        ),
    )
