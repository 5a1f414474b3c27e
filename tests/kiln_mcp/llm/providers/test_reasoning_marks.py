"""The reasoning is kept apart from answers in every dialect in use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.llm.deltas import Delta
from kiln_mcp.llm.providers.openai_format import REASONING_FIELDS, read_chat_answer
from kiln_mcp.llm.providers.reasoning_marks import (
    END_TOKENS,
    PAIRS,
    ReasoningSplitter,
    fold,
    split_reasoning,
)

HARMONY = (
    "<|channel|>analysis<|message|>It is Paris.<|end|><|start|>assistant"
    "<|channel|>final<|message|>Paris<|return|>"
)
WITH_MARKS = [
    *(f"{opening}It is Paris.{closing}\n\nParis" for opening, closing in PAIRS),
    *(f"It is Paris.\n{closing}\n\nParis" for _, closing in PAIRS),
    HARMONY,
    HARMONY.removesuffix("<|return|>"),
    "<|start|>assistant" + HARMONY,
    HARMONY.removeprefix("<|channel|>analysis"),
    HARMONY.removeprefix("<|channel|>analysis<|message|>"),
    "analysisIt is Paris.assistantfinalParis",
    "<THINK>It is Paris.</THINK>Paris",
    "<Thinking>It is Paris.</thinking>\nParis",
    "\ufeff<think>It is Paris.</think>Paris",
    "It is Paris.</think>Paris",
    "It is Paris.\n</Think>\nParis",
    "<think>\n</think><think>It is Paris.</think>\nParis",
    "<|START_THINKING|>It is Paris.<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>",
    "<|begin_of_thought|>It is Paris.<|end_of_thought|>\n"
    "<|begin_of_solution|>Paris<|end_of_solution|>",
    *(f"<think>It is Paris.</think>Paris{token}" for token in END_TOKENS),
    "It is Paris.</think>Paris<|im_end|></s>\n",
]
WITHOUT_MARKS = [
    "Paris",
    "<thin ice>",
    "analysis",
    "analysis of Paris",
    "analysisParis",
    "Write analysis, then assistantfinal, then Paris",
    "Paris<|START_RESPONSE|>",
    "it is closed by</think>, as ever",
    "Write </think> to close it, and `</think>`\nto quote it",
    "The token <|im_end|> ends a turn, and </s> a text",
    "<s>Lyon</s> Paris, not <s>Lyon</s>",
    "The pair <think>\n</think>\nis written so",
]


@pytest.mark.parametrize("content", WITH_MARKS)
def test_reasoning_between_marks_is_no_part_of_the_answer(content: str) -> None:
    assert split_reasoning(content, "") == ("Paris", "It is Paris.")


@pytest.mark.parametrize("content", WITHOUT_MARKS)
def test_a_text_without_reasoning_stays_as_it_is(content: str) -> None:
    assert split_reasoning(content, "") == (content, "")


@pytest.mark.parametrize("opening", [opening for opening, _ in PAIRS])
def test_reasoning_that_was_cut_off_is_no_answer(opening: str) -> None:
    assert split_reasoning(f"{opening}so far", "") == ("", "so far")


def test_bare_harmony_is_read_whatever_its_first_letter_is() -> None:
    assert split_reasoning("analysisthe user asksassistantfinalParis", "") == (
        "Paris",
        "the user asks",
    )
    assert split_reasoning("assistantfinalParis", "") == ("Paris", "")


def test_harmony_reasoning_that_was_cut_off_is_no_answer() -> None:
    assert split_reasoning("<|channel|>analysis<|message|>so far", "") == ("", "so far")


def test_a_second_closing_mark_ends_the_reasoning_later() -> None:
    assert split_reasoning("<think>a</think>\nb\n</think>\nc", "") == ("c", "a\nb")


@given(
    st.sampled_from([*WITH_MARKS, *WITHOUT_MARKS, "<think>a</think>\nb\n</think>\nc"]),
    st.text("ab<>/think \n|", max_size=12),
    st.lists(st.integers(min_value=1, max_value=9), max_size=60),
)
def test_reasoning_is_the_same_however_the_text_is_cut(
    content: str, more: str, lengths: list[int]
) -> None:
    whole = content + more
    splitter = ReasoningSplitter()
    deltas: list[Delta] = []
    rest = whole
    for length in lengths:
        deltas += splitter.feed(rest[:length])
        rest = rest[length:]
    deltas += [*splitter.feed(rest), *splitter.end()]
    text, reasoning = fold(deltas)
    assert (text, reasoning.strip()) == split_reasoning(whole, "")


def reply(message: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


@pytest.mark.parametrize("name", REASONING_FIELDS)
def test_reasoning_in_a_field_of_its_own_is_kept_apart(name: str) -> None:
    answer = read_chat_answer("m", reply({"content": "Paris", name: "It is."}), latency_s=0)
    assert (answer.text, answer.reasoning) == ("Paris", "It is.")


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Paris", "reasoning_details": [{"type": "reasoning.text", "text": "It is."}]},
        {"content": "Paris", "reasoning": {"summary": [{"text": "It is."}]}},
        {
            "content": [
                {"type": "thinking", "thinking": "It is."},
                {"type": "text", "text": "Paris"},
            ]
        },
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "It is."}]},
                {"type": "text", "text": "Paris"},
            ]
        },
        {"content": [{"text": "It is.", "thought": True}, {"text": "Paris"}]},
        {"content": "Paris", "reasoning": "It is.", "reasoning_content": None},
    ],
)
def test_reasoning_in_parts_and_objects_is_kept_apart(message: dict[str, Any]) -> None:
    answer = read_chat_answer("m", reply(message), latency_s=0)
    assert (answer.text, answer.reasoning) == ("Paris", "It is.")
