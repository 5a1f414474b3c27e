from hypothesis import given
from hypothesis import strategies as st

from agent.markdown import cut

PIECES = st.lists(st.sampled_from(["a", "\n", "\n\n", "```\n", "```", "~~~\n", "- b\n", "# c"]))


@given(PIECES)
def test_cutting_loses_nothing(pieces: list[str]) -> None:
    text = "".join(pieces)
    blocks = cut(text)
    assert "".join(blocks.whole) + blocks.growing == text


@given(PIECES, PIECES)
def test_what_is_whole_stays_so_whatever_follows(first: list[str], then: list[str]) -> None:
    early = cut("".join(first))
    late = cut("".join(first + then))
    assert late.whole[: len(early.whole)] == early.whole


def test_fenced_code_is_one_block_though_it_has_blank_lines() -> None:
    blocks = cut("Look:\n\n```py\na\n\nb\n```\n\nThen")
    assert blocks.whole == ("Look:\n\n", "```py\na\n\nb\n```\n\n")
    assert blocks.growing == "Then"
