"""The three-way merge of records, by key, and of files of lines."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from storage.collaboration.three_way_merge import merge_lines, merge_objects
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
    base: dict[str, JsonValue], change: dict[str, JsonValue]
) -> None:
    for merged, conflicts in (
        merge_objects(base, change, base),
        merge_objects(base, base, change),
        merge_objects(base, change, change),
    ):
        assert same(merged, change)
        assert conflicts == []


@given(_object, _object, _object)
def test_both_sides_see_the_same_conflicts(
    base: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> None:
    our_result, our_conflicts = merge_objects(base, ours, theirs)
    their_result, their_conflicts = merge_objects(base, theirs, ours)
    assert {conflict.field for conflict in our_conflicts} == {
        conflict.field for conflict in their_conflicts
    }
    if not our_conflicts:
        assert same(our_result, their_result)


def test_two_ratings_of_one_unrated_output_differ_in_their_values_alone() -> None:
    base: dict[str, JsonValue] = {"rating": None}
    ours: dict[str, JsonValue] = {"rating": {"id": "1", "of": {"ana": 5}}}
    theirs: dict[str, JsonValue] = {"rating": {"id": "2", "of": {"ben": 1}}}
    merged, conflicts = merge_objects(base, ours, theirs)
    assert conflicts == []
    assert merged == {"rating": {"id": "2", "of": {"ben": 1, "ana": 5}}}


@given(_lines, _lines, _lines)
def test_no_line_that_either_side_added_is_lost(base: str, ours: str, theirs: str) -> None:
    merged = merge_lines(base, base + ours, base + theirs)
    for side in (ours, theirs):
        for line in set(side.splitlines()):
            assert merged.splitlines().count(line) >= (base + side).splitlines().count(line)


@given(_object, _object, _object)
def test_of_two_repairs_one_is_taken_whole_and_both_sides_ask_the_same(
    base: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> None:
    keys = {"x": "repaired_output", "y": "repair_instructions"}
    sides = [{keys.get(key, key): side[key] for key in side} for side in (base, ours, theirs)]
    merged, conflicts = merge_objects(*sides)
    of_repair = [conflict for conflict in conflicts if conflict.field[0] in keys.values()]
    if of_repair:
        (ours_of_repair,) = of_repair
        assert all(same(merged.get(key), sides[2].get(key)) for key in keys.values())
        other = merge_objects(sides[0], sides[2], sides[1])[1]
        (theirs_of_repair,) = (
            conflict for conflict in other if conflict.field == ours_of_repair.field
        )
        fields = [companion.field for companion in ours_of_repair.companions]
        assert [companion.field for companion in theirs_of_repair.companions] == fields
