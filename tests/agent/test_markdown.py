from hypothesis import given
from hypothesis import strategies as st

from agent.markdown import split_blocks

PIECES = st.lists(st.sampled_from(["a", "\n", "\n\n", "```\n", "```", "~~~\n", "- b\n", "# c"]))


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
