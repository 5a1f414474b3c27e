from hypothesis import given
from hypothesis import strategies as st

from agent.terminal.blocks import split_blocks

PIECES = st.lists(
    st.sampled_from(
        ["a", "\n", "\n\n", "```\n", "```", "~~~\n", "- b\n", "# c", "1", ". ", "  ", "-", "x\n"]
    )
)


@given(PIECES)
def test_splitting_loses_nothing(pieces: list[str]) -> None:
    text = "".join(pieces)
    blocks = split_blocks(text)
    assert "".join(blocks.finished) + blocks.open == text


@given(PIECES, PIECES)
def test_a_finished_block_stays_the_same(first: list[str], then: list[str]) -> None:
    early = split_blocks("".join(first))
    late = split_blocks("".join(first + then))
    assert late.finished[: len(early.finished)] == early.finished


def test_fenced_code_is_one_block_though_it_has_blank_lines() -> None:
    blocks = split_blocks("Look:\n\n```py\na\n\nb\n```\n\nThen")
    assert blocks.finished == ("Look:\n\n", "```py\na\n\nb\n```\n\n")
    assert blocks.open == "Then"


def test_a_list_stays_one_block_though_blank_lines_stand_between_its_items() -> None:
    text = "1. one\n\n2. two\n\n   more of two\n\n3. three\n\n"
    assert split_blocks(text).open == text
    assert split_blocks(text + "Then").finished == (text,)


def test_a_longer_fence_is_not_closed_by_a_shorter_one() -> None:
    text = "````\n```\n\n```\n````\n\n"
    assert split_blocks(text).finished == (text,)
