"""What a model is sent again of a long conversation."""

import json
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.fences import fence
from agent.memory import DIGEST, OMISSION_NOTE, shorten_history
from kiln_mcp.llm import Message, ModelAnswer, ModelRequest, ToolCall
from scripted_chat import scripted
from small_workbench import SmallWorkbench
from talks import chat_options, events_of, last_text, talk

MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["user", "assistant", "tool"]),
        st.integers(0, 3000).map(lambda length: "x" * length),
    ),
    max_size=30,
)
MOST = 5000


def is_condensed(message: Message) -> bool:
    return OMISSION_NOTE in message.content or "[\u2026" in message.content


@given(MESSAGES)
def test_the_last_round_and_the_order_stay(messages: list[Message]) -> None:
    shown = shorten_history(messages, MOST)
    assert [m.role for m in shown] == [m.role for m in messages]
    spoken = [place for place, m in enumerate(messages) if m.role != "tool"]
    last_round = spoken[-1] if spoken else 0
    assert shown[last_round:] == messages[last_round:]


@given(MESSAGES)
def test_results_go_before_answers_and_answers_before_the_persons_words(
    messages: list[Message],
) -> None:
    shown = shorten_history(messages, MOST)
    cut = {m.role for m in shown if is_condensed(m)}
    old = shown[: max((p for p, m in enumerate(messages) if m.role != "tool"), default=0)]
    if "user" in cut:
        assert not any(m.role == "tool" and len(m.content) > DIGEST for m in old[:1])
        assert sum(len(m.content) for m in messages) > MOST


@given(MESSAGES)
def test_a_short_conversation_is_told_whole(messages: list[Message]) -> None:
    assert shorten_history(messages, sum(len(m.content) for m in messages)) == messages


@given(MESSAGES, MESSAGES)
def test_a_result_that_was_left_out_does_not_come_back(
    first: list[Message], then: list[Message]
) -> None:
    early, late = shorten_history(first, MOST), shorten_history(first + then, MOST)
    for before, after in zip(early, late, strict=False):
        assert OMISSION_NOTE not in before.content or OMISSION_NOTE in after.content


def test_results_that_are_too_long_together_make_room_for_the_newest() -> None:
    rounds = [Message("assistant", ""), Message("tool", "y" * 3000)]
    shown = shorten_history([Message("user", "go"), *rounds * 3], MOST)
    results = [m for m in shown if m.role == "tool"]
    assert [is_condensed(m) for m in results] == [True, True, False]


def test_ids_labels_and_decisions_from_the_beginning_are_still_there_after_condensing() -> None:
    decision = "Label item 604218937755 as fail: it offers a refund. Spend at most $2 on it."
    result = "Draw done.\n" + "words " * 2000 + "spec/no-refunds 604218937755 agrees 83.5 %"
    label = ToolCall("c1", "label_items", '{"labels": [{"item": "604218937755", "value": "fail"}]}')
    early = [
        Message("user", decision),
        Message("assistant", "I label it.", (label,)),
        Message("tool", fence("label_items", result), tool_call_id="c1"),
    ]
    talk = [
        message
        for number in range(500)
        for message in (
            Message("user", f"What about {number}?"),
            Message("assistant", f"About {number}: " + "so it goes. " * 100),
        )
    ]
    shown = shorten_history([*early, *talk], 120_000)
    assert sum(len(m.content) for m in shown) < 125_000
    assert shown[0].content == decision
    assert shown[1].tool_calls == (label,)
    assert is_condensed(shown[2])
    for fact in ("spec/no-refunds", "604218937755", "83.5 %"):
        assert fact in shown[2].content
    assert is_condensed(shown[10])
    assert not is_condensed(shown[-1])


def test_a_text_that_is_cut_keeps_the_ids_of_its_middle() -> None:
    long = "First. " * 100 + "The judge is evaluator/refund-judge (119922883377). " + "Last. " * 200
    talk = [Message("user", "go"), *[Message("assistant", "z" * 2000)] * 9]
    shown = shorten_history([Message("assistant", long), *talk], MOST)
    assert is_condensed(shown[0])
    assert "evaluator/refund-judge" in shown[0].content
    assert "119922883377" in shown[0].content


async def test_fifty_decisions_of_a_chat_of_a_thousand_messages_can_be_asked_for(
    tmp_path: Path,
) -> None:
    options = {
        n: f"{n}: 1. keep clause c{n}, which asks for a greeting, or 2. drop evaluator/e{n}?"
        for n in range(50)
    }
    messages = [Message("user", "Begin.")]
    for number in range(500):
        asks = number % 10 == 0
        question = f"Which for {options[number // 10]}" if asks else f"That was {number}."
        messages.append(Message("assistant", f"{number} " + "so it goes. " * 120 + question))
        reply = f"{1 + number // 10 % 2}" if asks else f"Go on with {number}."
        messages.append(Message("user", reply))

    def recall(request: ModelRequest) -> ModelAnswer:
        """Answer from what was sent alone, as a model must."""
        texts = [message.content for message in request.messages]
        taken = {
            number: answer
            for question, answer in pairwise(texts)
            for number, option in options.items()
            if question.endswith(option)
        }
        return ModelAnswer(json.dumps(taken))

    model = scripted(recall)
    async with talk(chat_options(tmp_path), model, SmallWorkbench().server) as chat:
        chat.conversation.messages += messages
        await events_of(chat.conversation, "What did I decide each time?")
        answer = json.loads(last_text(chat.conversation))
    assert answer == {str(number): f"{1 + number % 2}" for number in range(50)}
    sent = sum(len(message.content) for message in model.requests[0].messages)
    assert sent < sum(len(message.content) for message in messages) / 2


def test_long_arguments_of_old_calls_make_room_and_stay_json() -> None:
    arguments = json.dumps({"project": "shop", "count": 7, "items": ["x" * 100] * 100})
    calls = [
        message
        for number in range(3)
        for message in (
            Message("assistant", "", (ToolCall(f"c{number}", "add_data", arguments),)),
            Message("tool", "ok", tool_call_id=f"c{number}"),
        )
    ]
    shown = shorten_history([Message("user", "go"), *calls], 15_000)
    [first, _, last] = [json.loads(m.tool_calls[0].arguments) for m in shown if m.tool_calls]
    assert (first["project"], first["count"]) == ("shop", 7)
    assert "characters, left out here" in first["items"]
    assert last == json.loads(arguments)


def test_arguments_that_are_no_json_do_not_stay_long() -> None:
    broken = Message("assistant", "", (ToolCall("c1", "look", "[" * 50_000),))
    shown = shorten_history(
        [broken, Message("tool", "no", tool_call_id="c1"), Message("user", "x")], MOST
    )
    assert json.loads(shown[0].tool_calls[0].arguments) == {"left_out": "50000 characters"}
