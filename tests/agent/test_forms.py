"""Forms of servers: which fields they have, and what a person's words mean in them."""

import pytest
from pydantic import JsonValue

from agent.forms import FormField, FormValue, fields_of, value_in
from storage.errors import Refusal


def field(part: dict[str, JsonValue], *, required: bool = False) -> FormField:
    names: list[JsonValue] = ["x"] if required else []
    fields = fields_of({"type": "object", "properties": {"x": part}, "required": names})
    assert fields is not None
    return fields[0]


TEXT: dict[str, JsonValue] = {"type": "string", "minLength": 2, "maxLength": 5}
SIZES: dict[str, JsonValue] = {"type": "string", "enum": ["s", "m"], "enumNames": ["Small", "Mid"]}
TITLED: dict[str, JsonValue] = {
    "type": "string",
    "oneOf": [{"const": "s", "title": "Small"}, {"const": "m", "title": "Mid"}],
}
MANY: dict[str, JsonValue] = {
    "type": "array",
    "items": {"type": "string", "enum": ["a", "b", "c"]},
    "maxItems": 2,
}


@pytest.mark.parametrize(
    ("part", "words", "value"),
    [
        (TEXT, " word ", "word"),
        ({"type": "integer", "minimum": 1}, "3", 3),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "n", False),
        (SIZES, "2", "m"),
        (SIZES, "small", "s"),
        (TITLED, "Mid", "m"),
        (MANY, "1, c, a", ["a", "c"]),
        ({"type": "string", "default": "d"}, "", "d"),
        ({"type": "string"}, "", None),
    ],
)
def test_words_become_the_value_that_the_field_takes(
    part: dict[str, JsonValue], words: str, value: FormValue | None
) -> None:
    assert value_in(field(part), words) == value


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (TEXT, "x"),
        (TEXT, "too long"),
        ({"type": "integer"}, "2.5"),
        ({"type": "integer", "maximum": 3}, "4"),
        ({"type": "number"}, "nan"),
        ({"type": "boolean"}, "perhaps"),
        (SIZES, "3"),
        (SIZES, "large"),
        (MANY, "a, b, c"),
        (MANY, "d"),
    ],
)
def test_words_that_are_no_answer_are_refused_with_the_field_named(
    part: dict[str, JsonValue], words: str
) -> None:
    with pytest.raises(Refusal, match="x: "):
        value_in(field(part), words)


def test_a_field_that_is_required_needs_an_answer() -> None:
    with pytest.raises(Refusal, match="needs an answer"):
        value_in(field({"type": "string"}, required=True), " ")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "object"},
        {"properties": {"x": {"type": "object", "properties": {}}}},
        {"properties": {"x": {"type": "array", "items": {"type": "string"}}}},
        {"properties": {"x": "text"}},
    ],
)
def test_a_form_that_is_not_flat_is_none(schema: dict[str, JsonValue]) -> None:
    assert fields_of(schema) is None
