"""The lossless patch of JSON text."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from storage.text.json_text import patch_json, same, write_json

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
_VALUE: st.SearchStrategy[JsonValue] = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECT = st.dictionaries(_TEXT, _VALUE, max_size=5)


@given(_OBJECT)
def test_new_text_is_what_the_standard_library_writes(value: JsonValue) -> None:
    assert write_json(value) == json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": [number]})


@given(_OBJECT, _OBJECT, st.sampled_from([None, "  ", "\t", "    "]))
def test_a_patched_text_means_the_new_value(
    old: dict[str, JsonValue], new: dict[str, JsonValue], indent: str | None
) -> None:
    text = json.dumps(old, indent=indent)
    assert same(json.loads(patch_json(text, old, new)), new)
    assert patch_json(text, old, old) == text


@given(_OBJECT, _OBJECT, _OBJECT)
def test_keys_that_the_reader_does_not_know_keep_their_place_and_spelling(
    known: dict[str, JsonValue], changed: dict[str, JsonValue], unknown: dict[str, JsonValue]
) -> None:
    hidden = {f"?{key}": value for key, value in unknown.items()}
    old = {f"k{key}": value for key, value in known.items()}
    new = {f"k{key}": value for key, value in changed.items()}
    text = json.dumps({**hidden, **old}, indent=1)
    result = json.loads(patch_json(text, old, new))
    assert same({k: v for k, v in result.items() if k.startswith("?")}, hidden)
    assert same({k: v for k, v in result.items() if not k.startswith("?")}, new)


def test_only_the_changed_line_changes() -> None:
    text = '{\n  "cost": 2.658e-6,\n  "big": 1E5,\n  "x":1 ,\n  "s": "\\u00e9"\n}\n'
    old = json.loads(text)
    assert patch_json(text, old, {**old, "x": 2}) == text.replace('"x":1 ,', '"x":2 ,')


def test_an_item_taken_from_the_middle_leaves_the_others_as_they_were() -> None:
    text = '{"a": [{"id": "1", "n": 1.0e0}, {"id": "2"}, {"id": "3", "n": 3.00}]}'
    old = json.loads(text)
    new: dict[str, JsonValue] = {"a": [old["a"][0], old["a"][2]]}
    assert patch_json(text, old, new) == '{"a": [{"id": "1", "n": 1.0e0}, {"id": "3", "n": 3.00}]}'


def test_new_text_is_in_the_style_of_kiln() -> None:
    assert write_json({"a": ["é"], "b": {}}) == '{\n  "a": [\n    "é"\n  ],\n  "b": {}\n}'


@pytest.mark.parametrize("part", ["x ", "\\n", "x\\n"])
def test_a_text_of_megabytes_is_kept_without_much_memory(part: str) -> None:
    held = '{"a": "' + part * 500_000 + '", "b": 1}'
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    value = json.loads(held)
    assert patch_json(held, value, value | {"b": 2}) == held.replace(": 1}", ": 2}")
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 40 * len(held) / 1024, grown_kb
