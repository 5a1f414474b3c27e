"""Answers that must fit a JSON schema: reading, checking, bounding."""

import json
import re
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.messages import JsonSchema, Message, ModelAnswer, ModelRequest
from storage.characters import whole_texts
from storage.json_schema import problem_with

LONGEST_STRING: Final = 300
LONGEST_ARRAY: Final = 24
_FENCE: Final = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_BOUNDED_STRING_KEYS: Final = frozenset({"maxLength", "enum", "const", "pattern", "format"})


def instruction_for(schema: JsonSchema) -> str:
    """Return the sentence that asks for JSON, for models without a schema mode."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. It must fit "
        f"this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )


def choices_instruction(choices: tuple[str, ...]) -> str:
    """Return the sentence that asks for one of some texts."""
    return "Answer with exactly one of these and nothing else: " + " | ".join(choices)


def read_json(text: str) -> JsonValue:
    """Return the JSON value in a model's text, also from a code fence or between prose.

    Raises:
        ValueError: There is none.
    """
    fenced = _FENCE.search(text)
    for candidate in (text, fenced.group(1) if fenced else ""):
        try:
            return whole_texts(json.loads(candidate))
        except ValueError:
            continue
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    if not starts:
        raise ValueError("there is no JSON in it")
    value, _ = json.JSONDecoder().raw_decode(text, min(starts))
    return whole_texts(value)


def fit(answer: ModelAnswer, request: ModelRequest) -> tuple[JsonValue, str | None]:
    """Return the answer as JSON and what is wrong with it, None where it fits the request."""
    if request.choices and answer.text.strip() not in request.choices:
        return None, f"the answer must be exactly one of {list(request.choices)}"
    if request.schema is None or answer.tool_calls:
        return None, None
    try:
        value = read_json(answer.text)
    except ValueError as error:
        cut = "it was cut off at max_tokens" if answer.finish == "length" else str(error)
        return None, f"the answer is not valid JSON: {cut}"
    return value, problem_with(value, request.schema)


def correction(answer: ModelAnswer, problem: str) -> tuple[Message, Message]:
    """Return the messages that tell a model what was wrong with its answer."""
    return (
        Message("assistant", answer.text),
        Message(
            "user",
            f"That answer cannot be used: {problem}. Give the whole answer again, corrected, and "
            "nothing else.",
        ),
    )


def bounded(schema: JsonSchema) -> dict[str, JsonValue]:
    """Return the schema with a longest length for every string and array that has none.

    A small model under a grammar runs on where nothing ends a string.
    """
    return {key: _bounded_value(key, value) for key, value in _with_bounds(schema).items()}


def _with_bounds(schema: JsonSchema) -> dict[str, JsonValue]:
    result = dict(schema)
    kind = schema.get("type")
    if kind == "string" and not _BOUNDED_STRING_KEYS & schema.keys():
        result["maxLength"] = LONGEST_STRING
    if kind == "array" and "maxItems" not in schema:
        result["maxItems"] = LONGEST_ARRAY
    if kind == "object" and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    return result


def _bounded_value(key: str, value: JsonValue) -> JsonValue:
    if key in {"properties", "$defs", "definitions"} and isinstance(value, dict):
        return {name: _bounded_if_schema(part) for name, part in value.items()}
    if key in {"items", "additionalProperties"}:
        return _bounded_if_schema(value)
    if key in {"anyOf", "oneOf", "allOf", "prefixItems"} and isinstance(value, list):
        return [_bounded_if_schema(part) for part in value]
    return value


def _bounded_if_schema(value: JsonValue) -> JsonValue:
    return bounded(value) if isinstance(value, dict) else value
