"""Texts as blocks: splitting, edits, alignment and merges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.evolution.engine import Anchors, Block, BlockEdit, Candidate, Case, Evaluation, Item
from kiln_mcp.evolution.engine.alignment import align
from kiln_mcp.evolution.engine.anchors import find_copy
from kiln_mcp.evolution.engine.candidates import DEMONSTRATIONS, join_blocks, split_blocks
from kiln_mcp.evolution.engine.edits import apply_edits, new_id, rebase

TEXT = "You help.\n- One rule of it.\n- Two rules of it.\n\nA line\nthat goes on.\n\n# End\nBye."
BASE = Candidate.of(TEXT)
lines = st.sampled_from(
    ["- alpha beta", "- gamma delta", "Work well.", "", "- alpha beta gamma", "# Head", "on and on"]
)
texts = st.lists(lines, min_size=1, max_size=7).map("\n".join)


@given(st.text())
def test_blocks_that_are_joined_give_the_text_that_was_split(text: str) -> None:
    assert join_blocks(split_blocks(text)) == text


def test_entries_and_paragraphs_are_blocks_and_wrapped_lines_are_not() -> None:
    assert [block.text for block in BASE.blocks] == [
        "You help.",
        "- One rule of it.",
        "- Two rules of it.",
        "A line\nthat goes on.",
        "# End\nBye.",
    ]


@given(texts, texts)
def test_the_edits_of_a_rewritten_text_make_its_blocks(old: str, new: str) -> None:
    base = Candidate.of(old)
    try:
        changed = apply_edits(base, align(base, new))
    except ValueError:
        assert not new.strip()
        return
    made = sorted(block.text.strip() for block in changed.blocks if block.text.strip())
    wanted = sorted(
        block.text.strip() for block in split_blocks(new.strip("\n")) if block.text.strip()
    )
    assert made == wanted
    assert len({block.id for block in changed.blocks}) == len(changed.blocks)


def test_a_rewritten_text_keeps_the_ids_of_what_it_keeps() -> None:
    text = TEXT.replace("One rule of it", "One better rule of it").replace("# End\nBye.", "Go on.")
    edits = align(BASE, text)
    assert ("replace", "b2") in {(edit.operation, edit.block) for edit in edits}
    assert {edit.operation for edit in edits} <= {"replace", "add", "delete"}


def test_a_block_that_only_changed_its_place_is_moved() -> None:
    lines = TEXT.split("\n\n")[0].split("\n")
    base = Candidate.of("\n".join(lines))
    edits = align(base, "\n".join([lines[0], lines[2], lines[1]]))
    assert [edit.operation for edit in edits] == ["move"]
    assert apply_edits(base, edits).text == "\n".join([lines[0], lines[2], lines[1]])


def test_several_additions_after_one_block_stand_in_the_order_of_the_edits() -> None:
    edits = [BlockEdit("add", "b1", text) for text in ("- x", "- y", "- z")]
    assert "You help.\n- x\n- y\n- z\n- One" in apply_edits(BASE, edits).text


@pytest.mark.parametrize(
    ("edits", "sentence"),
    [
        ([BlockEdit("replace", "b9", "x")], "no block b9"),
        ([BlockEdit("replace", "b1", "  ")], "has no text"),
        ([BlockEdit("add", "b9", "x")], "no block b9"),
        ([BlockEdit("delete", block.id) for block in BASE.blocks], "leave no instruction"),
    ],
)
def test_edits_that_name_no_block_or_leave_nothing_are_refused(
    edits: list[BlockEdit], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        apply_edits(BASE, edits)


def test_moves_go_to_the_beginning_behind_a_block_and_to_the_end() -> None:
    def order(after: str | None) -> list[str]:
        moved = apply_edits(BASE, [BlockEdit("move", "b2", after=after)])
        return [block.id for block in moved.blocks]

    assert order(None)[0] == "b2"
    assert order("b3")[:3] == ["b1", "b3", "b2"]
    assert order("gone")[-1] == "b2"
    alone = Candidate.of("Only this.")
    for after in (None, "gone"):
        assert apply_edits(alone, [BlockEdit("move", "b1", after=after)]).text == "Only this."


def test_edits_of_different_blocks_merge_and_those_of_one_block_are_a_conflict() -> None:
    own = [BlockEdit("replace", "b2", "- Mine."), BlockEdit("add", "b3", "- New.")]
    head = apply_edits(BASE, [BlockEdit("replace", "b1", "You serve.")])
    merged = rebase(own, BASE, head)
    assert merged.conflicts == ()
    assert merged.candidate.text.startswith("You serve.\n- Mine.\n- Two rules of it.\n- New.")
    head = apply_edits(BASE, [BlockEdit("replace", "b2", "- Theirs.")])
    merged = rebase(own, BASE, head)
    assert merged.conflicts == ("b2",)
    assert "- Mine." in merged.candidate.text


def test_edits_of_blocks_that_are_gone_are_merged_as_far_as_they_say_something() -> None:
    head = apply_edits(BASE, [BlockEdit("delete", "b2")])
    edits = [
        BlockEdit("replace", "b2", "- Mine."),
        BlockEdit("delete", "b2"),
        BlockEdit("move", "b2", after="b3"),
        BlockEdit("move", "b3", after=None),
        BlockEdit("add", "b2", "- After two."),
    ]
    merged = rebase(edits, BASE, head)
    assert merged.conflicts == ("b2",)
    assert {"- Mine.", "- After two."} <= {block.text for block in merged.candidate.blocks}


def test_a_merge_that_would_leave_nothing_changes_nothing() -> None:
    base = Candidate.of("One.\n\nTwo.")
    head = apply_edits(base, [BlockEdit("delete", "b2")])
    assert rebase([BlockEdit("delete", "b1")], base, head).candidate == head


def test_components_have_blocks_of_their_own() -> None:
    base = Candidate.of({"instruction": "Help.", "tool": "Finds it."})
    edits = [BlockEdit("add", None, "{}", component=DEMONSTRATIONS, id="item")]
    changed = apply_edits(base, [*edits, BlockEdit("add", "tool-1", "- Soon.", component="tool")])
    assert changed.demonstrations == ("item",)
    assert changed.text == "Help."
    assert changed.text_of("tool") == "Finds it.\n- Soon."
    assert Candidate.of(changed) is changed
    first = apply_edits(base, [BlockEdit("add", None, "First.", component="tool")])
    assert first.text_of("tool").startswith("First.")


def test_equal_texts_have_equal_ids_whatever_their_blocks_are_called() -> None:
    other = Candidate(tuple(Block(f"x{n}", b.text, gap=b.gap) for n, b in enumerate(BASE.blocks)))
    assert other.id == BASE.id
    assert Candidate(()).text == ""


def test_ids_of_new_blocks_are_unique() -> None:
    first = new_id("x", [])
    second = new_id("x", [first])
    assert new_id("x", [first, second]) not in {first, second}


def test_names_and_long_runs_of_words_of_one_case_are_copies() -> None:
    run = "the red bike was sold to my old neighbour yesterday"
    cases = [
        Case(Item("a", text=f"Order A1234: {run}"), Evaluation({"x": 0.0})),
        Case(Item("b", text="Order B777 of 2024"), Evaluation({"x": 0.0})),
        Case(Item("c", text="Order C999 of 2024"), Evaluation({"x": 0.0})),
    ]

    def copy(text: str) -> str:
        return find_copy([BlockEdit("add", "b1", text)], BASE, cases)

    assert copy("- For A1234 say so.") == "A1234"
    assert "bike was sold" in copy(f"- Know that {run}.")
    assert copy("- Orders of 2024 are closed.") == ""
    assert copy("- Be brief.") == ""


def test_anchors_of_a_start_are_its_placeholders() -> None:
    start = Candidate.of("Hi {{ name }}, {topic}. Keep.")
    anchors = Anchors(["Keep."]).of_start(start)
    assert anchors.objection(start) == ""
    assert "{topic}" in anchors.objection(Candidate.of("Hi {{name}}. Keep."))
    assert "marked passage" in anchors.objection(Candidate.of("Hi {{name}}, {topic}."))
