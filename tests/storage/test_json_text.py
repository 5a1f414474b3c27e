import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from storage.json_text import patch_json, write_json

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_objects = st.dictionaries(st.text(), _values, max_size=5)


@given(_objects, _objects)
def test_a_patched_text_means_the_old_object_with_the_new_values(
    old: dict[str, JsonValue], changes: dict[str, JsonValue]
) -> None:
    patched = json.loads(patch_json(write_json(old), changes))
    assert patched == {**old, **changes}


@given(_objects)
def test_a_patch_that_changes_nothing_leaves_every_byte(old: dict[str, JsonValue]) -> None:
    text = write_json(old)
    assert patch_json(text, old) == text


def test_numbers_keys_and_spacing_that_are_not_changed_keep_their_spelling() -> None:
    text = '{\n "b":  1.50e-4,\n "a": {"x": 0.10, "y": [1 ,2]},\n "model_type": "eval_run"}'
    changed = patch_json(text, {"a": {"x": 0.1, "y": [1, 2], "z": 3}, "new": 1}, "model_type")
    assert '"b":  1.50e-4' in changed
    assert '"x": 0.10, "y": [1 ,2],' in changed
    assert json.loads(changed)["a"]["z"] == 3
    assert list(json.loads(changed)) == ["b", "a", "new", "model_type"]


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(json.JSONDecodeError):
        patch_json("[1]", {"a": 1})
