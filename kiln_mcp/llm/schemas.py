"""Answers that must fit a JSON schema: their text, their problems, their bounds."""

import json
from collections.abc import Iterator
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.errors import ModelError, one_line
from kiln_mcp.llm.messages import JsonSchema, Message, ModelAnswer, ModelRequest
from storage.text.characters import repair_texts
from storage.text.json_schema import check_schema, find_problem

DEEPEST: Final = 100
"""Levels of nesting: more than any schema needs, fewer than Python can write."""
_FENCE: Final = "```"
_MOST_REMEMBERED: Final = 256


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
    """Return the JSON value in a model's text, even in a code fence or between prose.

    Raises:
        ValueError: There is none.
    """
    for candidate in (text, _fence_content(text)):
        try:
            return _check_depth(json.loads(candidate))
        except (ValueError, RecursionError):
            continue
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    if not starts:
        raise ValueError("there is no JSON in it")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, min(starts))
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    return _check_depth(value)


def _fence_content(text: str) -> str:
    """Return the content of the first code fence; empty if there is none."""
    _, fence, rest = text.partition(_FENCE)
    label, line_end, block = rest.partition("\n")
    content, end, _ = block.partition(_FENCE)
    is_fence = fence and line_end and end and label.strip() in {"", "json"}
    return content if is_fence else ""


def _check_depth(value: JsonValue) -> JsonValue:
    """Return JSON data without lone surrogates.

    Raises:
        ValueError: It is nested too deeply to be checked and written again.
    """
    level = [value]
    for _ in range(DEEPEST):
        if not level:
            return repair_texts(value)
        level = [part for node in level for part in _parts(node)]
    raise ValueError(f"its JSON is nested more than {DEEPEST} levels deep")


def _parts(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def unusable_schema(reason: str) -> ModelError:
    """Return the error for a schema that no answer can be checked against."""
    return ModelError(
        "No model was asked: the schema of its answer cannot be used, for {reason}. Correct the "
        "schema in task.kiln, or create another task.",
        reason=one_line(reason),
    )


_usable_schemas: Final[set[str]] = set()


async def check_usable(request: ModelRequest) -> None:
    """Refuse a request whose schema no answer could be checked against, before it costs anything.

    Raises:
        ModelError: Its schema cannot be used.
    """
    if request.schema is None:
        return
    text = json.dumps(request.schema)
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
        value = read_json(answer.text)
    except ValueError as error:
        cut = "it was cut off at max_tokens" if answer.finish == "length" else str(error)
        return None, f"the answer is not valid JSON: {cut}"
    try:
        return value, await find_problem(value, request.schema)
    except ValueError as error:
        return value, f"it cannot be checked against the schema: {error}"


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
