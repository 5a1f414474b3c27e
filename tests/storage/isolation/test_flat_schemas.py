"""What the quick check of flat schemas accepts, jsonschema accepts too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import JsonValue

from storage.isolation.flat_schemas import flat_check

VERDICT = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "maxLength": 5, "description": "Why."},
        "polite": {"type": ["string", "null"], "enum": ["pass", "fail", None]},
        "stars": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "is_done": {"type": "boolean"},
        "share": {"type": "number", "minimum": 0},
    },
    "required": ["reasoning", "polite"],
    "additionalProperties": False,
}
SCALARS: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 7),
    st.floats(-1, 6),
    st.sampled_from(["pass", "fail", "long enough", ""]),
)
KEYS = st.sampled_from(["reasoning", "polite", "stars", "is_done", "share", "other"])
VALUES = st.one_of(SCALARS, st.dictionaries(KEYS, SCALARS), st.lists(SCALARS, max_size=2))


@given(VALUES)
def test_what_is_accepted_fits_the_schema(value: JsonValue) -> None:
    accepts = flat_check(json.dumps(VERDICT))
    assert accepts is not None
    if accepts(value):
        assert Draft202012Validator(VERDICT).is_valid(value)  # pyright: ignore[reportUnknownMemberType]


def test_a_usual_verdict_is_accepted() -> None:
    accepts = flat_check(json.dumps(VERDICT))
    assert accepts is not None
    assert accepts({"reasoning": "good", "polite": "pass", "stars": None, "share": 0.5})


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": "reasoning"},
        {"type": ["object", "null"]},
        {"minProperties": 1},
        {"properties": {"a": {"type": "array"}}},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"type": "integer", "enum": [1, 2]}}},
        {"properties": {"a": {"type": "string", "maxLength": "5"}}},
        {"properties": {"a": True}},
    ],
)
def test_schemas_with_more_than_that_are_left_to_jsonschema(change: dict[str, object]) -> None:
    assert flat_check(json.dumps(VERDICT | change)) is None
