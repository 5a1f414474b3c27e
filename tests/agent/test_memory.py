from hypothesis import given
from hypothesis import strategies as st

from agent.memory import OMISSION_NOTE, shorten_history
from kiln_mcp.llm import Message

MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["user", "assistant", "tool"]),
        st.integers(0, 60).map(lambda length: "x" * length),
    ),
    max_size=30,
)
MOST = 100


@given(MESSAGES)
def test_only_older_results_are_left_out(messages: list[Message]) -> None:
    shown = shorten_history(messages, MOST)
    spoken = [place for place, m in enumerate(messages) if m.role == "assistant"]
    last_round = spoken[-1] if spoken else 0
    for place, (before, after) in enumerate(zip(messages, shown, strict=True)):
        assert before.role == after.role
        if before.role != "tool" or place > last_round:
            assert after == before
        else:
            assert after.content in {before.content, OMISSION_NOTE}


@given(MESSAGES)
def test_a_short_conversation_is_told_whole(messages: list[Message]) -> None:
    assert shorten_history(messages, sum(len(m.content) for m in messages)) == messages


@given(MESSAGES, MESSAGES)
def test_what_was_left_out_does_not_come_back(first: list[Message], then: list[Message]) -> None:
    early, late = shorten_history(first, MOST), shorten_history(first + then, MOST)
    for before, after in zip(early, late, strict=False):
        assert before.content != OMISSION_NOTE or after.content == OMISSION_NOTE


def test_results_that_are_too_long_together_make_room_for_the_newest() -> None:
    rounds = [Message("assistant", ""), Message("tool", "y" * 60)]
    shown = shorten_history([Message("user", "go"), *rounds * 3], MOST)
    assert [m.content for m in shown if m.role == "tool"] == [
        OMISSION_NOTE,
        OMISSION_NOTE,
        "y" * 60,
    ]
