import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln_mcp.llm.providers.forced_text import forced_answer, forced_text, stop_texts
from kiln_mcp.llm.providers.partial_json import is_complete

BOOKING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "day": {"type": "string", "enum": ["Monday", "Tuesday"]},
        "people": {"type": "integer"},
    },
    "required": ["name", "day", "people"],
}
ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "remark": {"type": "string"},
        "kind": {"const": "order"},
        "buyer": {
            "type": "object",
            "properties": {"first": {"type": "string"}, "age": {"type": ["integer", "null"]}},
            "required": ["first", "age"],
        },
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["kind", "buyer", "note", "lines"],
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["item", "count"],
        }
    },
}
TO_LINES = '{"kind": "order", "buyer": {"first": "A", "age": 3}, "note": null, "lines":'


@pytest.mark.parametrize(
    ("text", "forced"),
    [
        ('{"name":', ""),
        ('{"name": "Pa', ""),
        ('{"name": "Paloma"', ', "day":'),
        ('{"name": "Paloma",', ' "day":'),
        ('{"name":"Paloma",', '"day":'),
        ('{ "name": "P", "day": "Monday", "people": 3,', ""),
        ('{ "name": "P", "day": "Monday", "people": 3 ', "}"),
        ('{\n  "name": "P"', ',\n  "day":'),
        ('{\n  "name": "P", "day": "Monday",\n  "people": 3\n', "}"),
        ('{"name": "a \\" quote, \\\\", ', '"day":'),
        ('{"name": "P", "day": "Monday", "people":', ""),
        ('{"name": "P", "day": "Monday", "people": 5', ""),
        ('{"name": "P", "day": "Monday", "people": 5}', ""),
        ('{\n\t"name": "P"', ',\n\t"day":'),
    ],
)
def test_keys_and_braces_are_forced_in_the_answers_own_whitespace(text: str, forced: str) -> None:
    assert forced_text(BOOKING, text) == forced


@pytest.mark.parametrize(
    ("text", "forced"),
    [
        ('{"kind":', ""),
        ('{"kind": ', ""),
        ('{"kind": "order", "buyer": {"first": "A"', ', "age":'),
        ('{"kind": "order", "buyer": {"first": "A", "age": 3}', ', "note":'),
        (TO_LINES + " [{", '"item":'),
        (TO_LINES + ' [{"item": "x", "count": 3,', ""),
        (TO_LINES + ' [{"item": "x", "count": 3}', ""),
        (TO_LINES + ' [{"item": "x", "count": 3}]', ""),
        ('{\n "kind": "order", "buyer": {\n  "first": "A",', '\n  "age":'),
    ],
)
def test_nested_schemas_references_and_constants_are_forced_as_far_as_they_go(
    text: str, forced: str
) -> None:
    # `remark` is optional, so the brace at the end is the model's choice.
    assert forced_text(ORDER, text) == forced


def test_a_constant_is_forced_with_the_key_behind_it() -> None:
    begun = forced_text(ORDER, "", '{"kind": "order"}')
    assert begun == '{"kind": "order", "buyer": {"first":'


def test_a_beginning_is_forced_only_where_an_example_shows_its_whitespace() -> None:
    assert forced_text(BOOKING, "") == ""
    assert forced_text(BOOKING, "", '{"name": "x"}') == '{"name":'
    assert forced_text(BOOKING, "", '{\n  "name": "x"}') == '{\n  "name":'
    assert forced_text(BOOKING, "", '{"day": "Monday"}') == ""
    assert forced_text(BOOKING, "", "Of course.") == ""


@pytest.mark.parametrize(
    ("schema", "text", "stops"),
    [
        (BOOKING, '{"name":', {'",'}),
        (BOOKING, '{"name": "a, b', {'",'}),
        (BOOKING, '{"name": "P", "day": "Monday", "people":', {"}"}),
        (BOOKING, '{\n "name": "P", "day": "Monday",\n "people":', {f"{n}\n" for n in range(10)}),
        (ORDER, '{"kind": "order", "buyer": {"first": "A", "age":', {"}"}),
        (ORDER, '{"kind": "order", "buyer": {"first": "A", "age": 3}, "note":', {'",', "null,"}),
        (ORDER, TO_LINES, {"{"}),
        (ORDER, TO_LINES + ' [{"item": "x", "count": 3}', {"{"}),
        (ORDER, TO_LINES + " []", set[str]()),
    ],
)
def test_the_model_stops_only_where_forced_text_follows(
    schema: dict[str, Any], text: str, stops: set[str]
) -> None:
    assert set(stop_texts(schema, text)) == stops


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "array", "items": BOOKING},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        BOOKING | {"allOf": [{"required": ["name"]}]},
        {"$ref": "#/$defs/none"},
    ],
)
def test_nothing_is_forced_where_the_schema_leaves_the_first_key_open(
    schema: dict[str, Any],
) -> None:
    assert forced_answer(schema, '{"name": "day", "people": "Monday", "a": 1}') is None


def test_nothing_is_forced_that_the_earlier_answer_does_not_show() -> None:
    shown = '{"name": "x", "day": "Monday", "people": 3}'
    assert forced_answer(BOOKING, shown) is not None
    assert forced_answer(BOOKING, shown.replace('"day"', '"date"')) is None
    assert forced_answer(BOOKING, shown.replace("Monday", "Sunday")) is None
    assert forced_answer(BOOKING, "") is None


def test_keys_whose_ends_could_join_their_quotes_are_not_forced() -> None:
    for key in ('the "item"', "size:", "", "-"):
        schema = {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]}
        assert forced_answer(schema, json.dumps({key: "x"})) is None


NAMES = st.lists(st.text("abcé ", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=6),
    "integer": st.integers(),
    "boolean": st.booleans(),
    "null": st.none(),
}
INDENTS = st.sampled_from([None, 1, 2, "\t"])


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a schema and a value that fits it, its keys in order."""
    properties: dict[str, Any] = {}
    value: dict[str, Any] = {}
    for name in draw(NAMES):
        kind = draw(st.sampled_from([*VALUES, "object"] if depth else [*VALUES]))
        if kind == "object":
            properties[name], value[name] = draw(objects(depth - 1))
        else:
            properties[name], value[name] = {"type": kind}, draw(VALUES[kind])
    return {"type": "object", "properties": properties, "required": [*properties]}, value


@settings(max_examples=40)
@given(objects(), INDENTS, st.data())
def test_forced_text_is_what_a_regular_answer_has_at_that_place(
    pair: tuple[dict[str, Any], dict[str, Any]], indent: int | str | None, data: st.DataObject
) -> None:
    schema, value = pair
    answer = json.dumps(value, indent=indent, ensure_ascii=False)
    cut = data.draw(st.integers(0, len(answer)))
    forced = forced_text(schema, answer[:cut], answer)
    assert answer[cut:].startswith(forced)
    assert is_complete(answer)
    assert not is_complete(answer[:-1])


@settings(max_examples=40)
@given(objects(), INDENTS)
def test_a_model_that_stops_at_the_stop_texts_writes_the_whole_answer(
    pair: tuple[dict[str, Any], dict[str, Any]], indent: int | str | None
) -> None:
    schema, value = pair
    answer = json.dumps(value, indent=indent, ensure_ascii=False)
    text = forced_text(schema, "", answer)
    while not is_complete(text):
        assert answer.startswith(text)
        rest = answer[len(text) :]
        ends = [rest.find(stop) + len(stop) for stop in stop_texts(schema, text) if stop in rest]
        text += rest[: min(ends, default=len(rest))]
        text += forced_text(schema, text)
    assert text == answer
