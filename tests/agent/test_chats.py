"""The list of chats: titles, search, forks, exports, and long ones."""

import json
from pathlib import Path

import pytest

from agent.approval_rules import ApprovalRecord
from agent.chat_history import Chats, Secrets
from agent.chat_lines import MessageLine, person_words
from agent.events import ApprovalAsked, CostChanged, Effect
from agent.fences import fence
from kiln_mcp.llm import Message, ToolCall
from storage.errors import Refusal

SECRET = "very-secret-value"
TALK = (
    Message("user", "My support bot promises refunds.\nMake it stop."),
    Message("assistant", "I look.", (ToolCall("c1", "look", '{"project": "p"}'),)),
    Message("tool", "```\nempty", tool_call_id="c1"),
    Message("assistant", "It is empty."),
)


async def saved(folder: Path, name: str, *messages: Message) -> Chats:
    chats = Chats(folder, Secrets({"OPENAI_API_KEY": SECRET}))
    for message in messages:
        await chats.add(name, message)
    return chats


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        (CostChanged(0.0, 10, 2, 10, None, 0, 2), "price not known"),
        (CostChanged(0.5, 10, 2, 10, None, 0, 1), "over $0.5000"),
        (CostChanged(0.0, 10, 2, 10, None, 0, 0), "$0.0000"),
    ],
)
async def test_a_list_says_where_a_price_is_not_known(
    cost: CostChanged, price: str, tmp_path: Path
) -> None:
    chats = await saved(tmp_path, "a", *TALK)
    await chats.recorder("a").add_cost(cost)
    assert [chat.price for chat in chats.list()] == [price]
    assert chats.export("a").splitlines()[2] == f"a, {price}"


@pytest.mark.parametrize(("cost_usd", "price"), [(0.0, "price not known"), (0.5, "$0.5000")])
async def test_a_line_without_the_count_of_unpriced_calls_claims_no_price_of_zero(
    cost_usd: float, price: str, tmp_path: Path
) -> None:
    chats = await saved(tmp_path, "a", *TALK)
    line = json.dumps({"cost_usd": cost_usd, "tokens": 10, "calls": 2})
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    assert [chat.price for chat in chats.list()] == [price]


async def test_a_chat_is_listed_by_the_persons_first_words_until_it_is_renamed(
    tmp_path: Path,
) -> None:
    state = '<tool-result tool="workbench-state">\nProject x.\n</tool-result>\n\nWhy is it wrong?'
    await saved(tmp_path, "a", *TALK)
    chats = await saved(tmp_path, "b", Message("user", state))
    await chats.recorder("b").add_cost(CostChanged(0.25, 10, 1, 10, None))
    assert {chat.id: chat.title for chat in chats.list()} == {
        "a": "My support bot promises refunds. Make it stop.",
        "b": "Why is it wrong?",
    }
    assert [(c.messages, c.price) for c in chats.list() if c.id == "b"] == [(1, "$0.2500")]
    await chats.rename("a", f"Refunds\nand {SECRET}")
    assert [c.title for c in chats.list() if c.id == "a"] == ["Refunds and [OPENAI_API_KEY]"]


async def test_chats_are_found_by_all_of_some_words_in_any_text_or_title(tmp_path: Path) -> None:
    await saved(tmp_path, "a", *TALK)
    chats = await saved(tmp_path, "b", Message("user", "Something else"))
    await chats.rename("b", "Refund rates")
    assert {chat.id for chat in chats.search("REFUND")} == {"a", "b"}
    assert [chat.id for chat in chats.search("refunds bot")] == ["a"]
    assert chats.search("refunds nonsense") == []


@pytest.mark.parametrize("count", [1, 2, 3, 4])
async def test_a_fork_begins_like_its_chat_up_to_any_message(tmp_path: Path, count: int) -> None:
    chats = await saved(tmp_path, "a", *TALK)
    name = await chats.fork("a", count)
    messages = await chats.read(name)
    assert tuple(messages[:count]) == TALK[:count]
    assert [m.tool_call_id for m in messages[count:]] == (["c1"] if count == 2 else [])
    assert await chats.read("a") == list(TALK)
    assert next(c.title for c in chats.list() if c.id == name).endswith(f"(from message {count})")


@pytest.mark.parametrize("count", [0, 5, -1])
async def test_a_fork_from_no_message_says_which_there_are(tmp_path: Path, count: int) -> None:
    chats = await saved(tmp_path, "a", *TALK)
    with pytest.raises(Refusal, match="messages 1 to 4"):
        await chats.fork("a", count)


async def test_an_export_has_numbered_messages_calls_results_and_approvals(tmp_path: Path) -> None:
    chats = await saved(tmp_path, "a", *TALK[:3])
    question = ApprovalAsked("c", f"Spend $1 with {SECRET}.", (Effect.SPENDS,), 1.0, (), "t", "p")
    await chats.recorder("a").add_approval(ApprovalRecord(question, "accept", "person", 0.0))
    text = chats.export("a")
    assert "# My support bot promises refunds. Make it stop." in text
    assert "## 2. Copilot\n\nI look." in text
    assert "`look`" in text
    assert "````\n```\nempty\n````" in text
    assert "> **accept** by person, 1970-01-01 00:00 UTC: Spend $1 with [OPENAI_API_KEY]." in text


@pytest.mark.parametrize("words", ["hello", "", "I pasted <tool-result>x\n</tool-result> here"])
async def test_an_export_has_the_persons_own_words(words: str, tmp_path: Path) -> None:
    state = fence("workbench-state", "Project shop.")
    report = "Jobs have ended. Say what came out.\n" + fence("check_job", "done")
    text = "\n\n".join([state, report, words])
    assert person_words(text) == words
    exported = (await saved(tmp_path, "a", Message("user", text))).export("a")
    assert ("Project shop." in exported) == (not words)
    assert words in exported


async def test_a_chat_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    chats = await saved(tmp_path, "a", *TALK)
    with pytest.raises(Refusal, match="Saved chats: a"):
        await chats.rename("../a", "x")
    with pytest.raises(Refusal, match="Saved chats: a"):
        await chats.fork("../a", 1)
    with pytest.raises(Refusal, match="Saved chats: a"):
        chats.export("../a")


async def test_a_thousand_messages_are_read_back_one_by_one(tmp_path: Path) -> None:
    messages = [
        Message("user" if number % 2 else "assistant", f"{number} " + "words " * 100)
        for number in range(1000)
    ]
    lines = b"".join(MessageLine.of(message).to_bytes() for message in messages)
    (tmp_path / "a.jsonl").write_bytes(lines)
    chats = Chats(tmp_path, Secrets({}))
    assert await chats.read("a") == messages


async def test_what_a_later_version_writes_is_left_out(tmp_path: Path) -> None:
    chats = await saved(tmp_path, "a", TALK[0])
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"plot": [1, 2]}\n')
    await chats.add("a", TALK[3])
    assert await chats.read("a") == [TALK[0], TALK[3]]
