from typing import Any

import pytest

from kiln_mcp.llm import Message, ModelRequest
from kiln_mcp.llm.providers.answer_bounds import (
    KEY_TOKENS,
    LONGEST_ARRAY,
    LONGEST_STRING,
    SHORTEST_BOUND,
    answer_tokens,
    bound_answer,
)

STRING = {"type": "string"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


def longest(schema: dict[str, Any], tokens: int, name: str = "a") -> Any:
    bounded: Any = bound_answer(schema, tokens)
    return bounded["properties"][name].get("maxLength")


def test_strings_of_digits_alone_end_before_max_tokens() -> None:
    schema = obj(a=STRING, b=STRING, c=STRING, d=STRING, e=STRING)
    bound = longest(schema, 1024)
    assert bound < LONGEST_STRING
    assert 5 * bound + 5 * KEY_TOKENS <= 1024


def test_one_string_of_a_long_answer_has_the_longest_bound() -> None:
    assert longest(obj(a=STRING), 1024) == LONGEST_STRING


def test_a_short_answer_keeps_room_for_a_name() -> None:
    assert longest(obj(a=STRING), 16) == SHORTEST_BOUND


@pytest.mark.parametrize(
    "kind",
    [
        {"type": ["string", "null"]},
        {"type": "string", "format": "email"},
        {"type": "string", "minLength": 2},
    ],
)
def test_every_kind_of_open_string_has_a_bound(kind: dict[str, Any]) -> None:
    assert longest(obj(a=kind), 1024) == LONGEST_STRING


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "string", "enum": ["x"]},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^a+$"},
        {"type": "string", "maxLength": 900},
        {"type": "integer"},
    ],
)
def test_a_schemas_own_bound_stays(kind: dict[str, Any]) -> None:
    bounded: Any = bound_answer(obj(a=kind), 1024)
    assert bounded["properties"]["a"] == kind


def test_lists_and_nested_schemas_are_bounded() -> None:
    schema = obj(a={"type": "array", "items": {"$ref": "#/$defs/b"}}) | {
        "$defs": {"b": obj(c={"anyOf": [STRING, {"type": "null"}]})}
    }
    bounded: Any = bound_answer(schema, 1024)
    assert bounded["properties"]["a"]["maxItems"] == LONGEST_ARRAY
    nested = bounded["$defs"]["b"]["properties"]["c"]["anyOf"]
    assert nested[0]["maxLength"] <= LONGEST_STRING
    assert bounded["additionalProperties"] is False


def test_a_long_prompt_leaves_a_shorter_answer() -> None:
    def request(text: str) -> ModelRequest:
        return ModelRequest("embedded", (Message("user", text),), max_tokens=1024)

    assert answer_tokens(request("hi"), 4096) == 1024
    assert answer_tokens(request("x" * 3 * 4000), 4096) == 96
    assert answer_tokens(request("x" * 3 * 5000), 4096) == 0
