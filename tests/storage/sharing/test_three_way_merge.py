"""Merging by key."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from storage.sharing.three_way_merge import merge_lines, merge_objects
from storage.text.json_text import same

_value = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
_object = st.dictionaries(st.sampled_from(["x", "y", "z", "tags"]), _value, max_size=4)
_lines = st.lists(st.sampled_from(["1\n", "2\n", "3\n"]), max_size=5).map("".join)


@given(_object, _object)
def test_what_one_side_alone_changed_is_taken_as_it_is(
    before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> None:
    for merged, clashes in (
        merge_objects(before, after, before),
        merge_objects(before, before, after),
        merge_objects(before, after, after),
    ):
        assert same(merged, after)
        assert clashes == []


@given(_object, _object, _object)
def test_both_sides_see_the_same_clashes(
    before: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> None:
    one, here = merge_objects(before, ours, theirs)
    other, there = merge_objects(before, theirs, ours)
    assert {clash.field for clash in here} == {clash.field for clash in there}
    if not here:
        assert same(one, other)


def test_two_ratings_of_one_unrated_output_differ_in_their_values_alone() -> None:
    before: dict[str, JsonValue] = {"rating": None}
    ours: dict[str, JsonValue] = {"rating": {"id": "1", "of": {"ana": 5}}}
    theirs: dict[str, JsonValue] = {"rating": {"id": "2", "of": {"ben": 1}}}
    merged, clashes = merge_objects(before, ours, theirs)
    assert clashes == []
    assert merged == {"rating": {"id": "2", "of": {"ben": 1, "ana": 5}}}


@given(_lines, _lines, _lines)
def test_no_line_that_either_side_added_is_lost(base: str, ours: str, theirs: str) -> None:
    merged = merge_lines(base, base + ours, base + theirs)
    for side in (ours, theirs):
        for line in set(side.splitlines()):
            assert merged.splitlines().count(line) >= (base + side).splitlines().count(line)


@given(_object, _object, _object)
def test_of_two_repairs_one_is_taken_whole_and_both_sides_ask_the_same(
    before: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> None:
    keys = {"x": "repaired_output", "y": "repair_instructions"}
    sides = [{keys.get(key, key): side[key] for key in side} for side in (before, ours, theirs)]
    merged, clashes = merge_objects(*sides)
    of_repair = [clash for clash in clashes if clash.field[0] in keys.values()]
    if of_repair:
        (clash,) = (
            {one.field for one in of_repair} if of_repair[0].companions else {of_repair[0].field}
        )
        assert all(same(merged.get(key), sides[2].get(key)) for key in keys.values())
        other = merge_objects(sides[0], sides[2], sides[1])[1]
        (there,) = (one for one in other if one.field == clash)
        fields = [one.field for one in of_repair[0].companions]
        assert [one.field for one in there.companions] == fields
