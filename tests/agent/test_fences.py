import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fences import fence, is_not_done, printable, results_of

TAG_LIKE = st.lists(
    st.sampled_from(["<", "/", " ", "\\", ">", "tool-result", "TOOL-RESULT", "x", "\n", "_"])
).map("".join)


@given(TAG_LIKE | st.text())
def test_nothing_in_a_result_can_close_its_fence_or_open_another(text: str) -> None:
    first, _, rest = fence("t", text).partition("\n")
    inside, _, last = rest.rpartition("\n")
    assert first == '<tool-result tool="t">'
    assert last == "</tool-result>"
    assert re.search(r"<[\W_]*tool-result", inside, re.IGNORECASE) is None


@given(TAG_LIKE | st.text())
def test_no_text_says_of_itself_that_it_was_not_done(text: str) -> None:
    assert is_not_done(fence("t", text, is_done=False))
    assert not is_not_done(fence("t", text))


def test_the_results_of_a_tool_are_found_in_a_message() -> None:
    message = "\n\n".join([fence("a", "one\ntwo"), fence("b", "three"), "words"])
    assert (results_of("a", message), results_of("c", message)) == (["one\ntwo"], [])


@given(st.text())
def test_a_tools_name_cannot_leave_its_attribute(name: str) -> None:
    assert re.fullmatch(r'<tool-result tool="[\w.-]*">', fence(name, "x").split("\n", 1)[0])


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_nothing_that_is_shown_can_move_the_cursor_or_turn_the_text(text: str) -> None:
    shown = printable(text)
    allowed = {"\n", "\t", "\u200c", "\u200d"}
    assert all(c in allowed or unicodedata.category(c)[0] != "C" for c in shown)


@pytest.mark.parametrize("trick", ["\x1b[2K", "\x9b1A", "\r", "\u202e", "\x1b]0;title\x07"])
def test_a_terminals_control_sequences_are_taken_out(trick: str) -> None:
    assert trick[0] not in printable(f"free{trick}of charge")
