import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.evolution.blocks import (
    SEPARATOR,
    Block,
    BlockEdit,
    Candidate,
    apply_edits,
    split_blocks,
)

BLOCKS = split_blocks("One.\n\nTwo.\n\nThree.")


@given(st.text())
def test_blocks_that_are_joined_give_the_text_that_was_split(text: str) -> None:
    assert Candidate(split_blocks(text)).text == text


def test_an_edit_changes_the_block_that_it_names_alone() -> None:
    edited = apply_edits(BLOCKS, [BlockEdit("replace", "b2", "Zwei.")])
    assert SEPARATOR.join(block.text for block in edited) == "One.\n\nZwei.\n\nThree."


def test_a_new_block_comes_after_the_one_that_is_named_or_first() -> None:
    edited = apply_edits(BLOCKS, [BlockEdit("add", "b1", "And."), BlockEdit("add", None, "First.")])
    assert [block.text for block in edited] == ["First.", "One.", "And.", "Two.", "Three."]
    assert len({block.id for block in edited}) == 5


@pytest.mark.parametrize(
    "edits",
    [
        [BlockEdit("replace", "b9", "x")],
        [BlockEdit("replace", "b1", "  ")],
        [BlockEdit("delete", None)],
        [BlockEdit("delete", "b1"), BlockEdit("delete", "b2"), BlockEdit("delete", "b3")],
        [BlockEdit("delete", "b1"), BlockEdit("replace", "b1", "x")],
    ],
)
def test_edits_that_name_no_block_or_leave_nothing_are_refused(edits: list[BlockEdit]) -> None:
    with pytest.raises(ValueError, match=r"block|text|instruction"):
        apply_edits(BLOCKS, edits)


ids = st.sampled_from(["b1", "b2", "b3", None])
texts = st.text(st.characters(codec="utf-8"), max_size=5)
edits = st.builds(BlockEdit, st.sampled_from(["add", "replace", "delete"]), ids, texts)


@given(st.lists(edits, max_size=4))
def test_ids_stay_unique_whatever_is_edited(made: list[BlockEdit]) -> None:
    try:
        changed = apply_edits(BLOCKS, made)
    except ValueError:
        return
    assert len({block.id for block in changed}) == len(changed)
    untouched = {"b1", "b2", "b3"} - {edit.block for edit in made if edit.operation != "add"}
    assert {block for block in BLOCKS if block.id in untouched} <= set(changed)
    assert all(isinstance(block, Block) for block in changed)
