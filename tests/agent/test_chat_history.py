import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.chat_history import Chats, Secrets, complete_calls
from kiln_mcp.llm import Message, ToolCall
from storage.errors import Refusal

NOTHING = Secrets({})
CALL = Message("assistant", "", (ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}")))


def calling(ids: list[str]) -> Message:
    return Message("assistant", "", tuple(ToolCall(name, "look", "{}") for name in ids))


def answering(name: str) -> Message:
    return Message("tool", "x", tool_call_id=name)


MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["user", "assistant"]), st.text(max_size=5)),
        st.builds(calling, st.lists(st.sampled_from("abc"), unique=True)),
        st.builds(answering, st.sampled_from("abc")),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_a_chat_to_go_on_with_has_one_answer_to_every_call_and_no_other(
    messages: list[Message],
) -> None:
    open_calls: list[str | None] = []
    for message in complete_calls(messages):
        if message.role == "tool":
            assert message.tool_call_id in open_calls
            open_calls.remove(message.tool_call_id)
        else:
            assert open_calls == []
            open_calls += [call.id for call in message.tool_calls]
    assert open_calls == []


@given(MESSAGES)
def test_a_chat_that_is_whole_is_gone_on_with_as_it_is(messages: list[Message]) -> None:
    whole = complete_calls(messages)
    assert complete_calls(whole) == whole
    assert [m for m in whole if m.role != "tool"] == [m for m in messages if m.role != "tool"]


async def test_lines_that_cannot_be_read_are_counted_aloud(tmp_path: Path) -> None:
    chats = Chats(tmp_path, NOTHING)
    await chats.add("a", Message("user", "one"))
    assert (await chats.load("a")).lost_lines == 0
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'{"broken": \n\xff\xfe\n')
    await chats.add("a", Message("assistant", "two"))
    saved = await chats.load("a")
    assert [message.content for message in saved.messages] == ["one", "two"]
    assert saved.lost_lines == 2


async def test_a_folder_with_the_name_of_a_chat_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(Refusal, match="No chat is saved yet"):
        await Chats(tmp_path, NOTHING).read("a")


async def test_what_was_said_after_a_line_that_was_cut_off_is_not_lost(tmp_path: Path) -> None:
    chats = Chats(tmp_path, NOTHING)
    await chats.add("a", Message("user", "one"))
    with (tmp_path / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"role": "assi')
    await chats.add("a", Message("user", "two"))
    assert [m.content for m in await chats.read("a")] == ["one", "two"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANTHROPIC_API_KEY", 'with "quotes" and \\ in it'),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh/ijk"),
        ("DB_PASSWORD", "two\nlines of it"),
    ],
)
async def test_a_secret_of_the_environment_is_not_written_whatever_it_is_made_of(
    tmp_path: Path, variable: str, value: str
) -> None:
    chats = Chats(tmp_path, Secrets({variable: value}))
    wish = Message("assistant", f"I use {value}", (ToolCall("c", "look", f"<{value}>"),))
    await chats.add("a", wish)
    saved = (await chats.read("a"))[0]
    assert saved.content == f"I use [{variable}]"
    assert saved.tool_calls[0].arguments == f"<[{variable}]>"


@pytest.mark.parametrize(
    "key",
    ["sk-ant-api03-abcdefghijklmnop", "AKIAABCDEFGHIJKLMNOP", "ghp_abcdefghijklmnopqrstuv"],
)
def test_what_looks_like_a_key_is_not_written(key: str) -> None:
    assert NOTHING.mask(f"my key: {key}.") == "my key: [a key]."
    assert NOTHING.mask("Bearer abcdefghijklmnopq") == "Bearer [a key]"


def test_ordinary_words_are_written_as_they_are() -> None:
    text = "sk-1, the desk-lamp, HF_HUB and a task-oriented-conversation-with-hyphens"
    assert Secrets({"MODEL": "conversation"}).mask(text) == text


async def test_only_the_person_can_read_a_chat(tmp_path: Path) -> None:
    chats = Chats(tmp_path / "chats", NOTHING)
    await chats.add("a", Message("user", "one"))
    assert stat.S_IMODE((tmp_path / "chats" / "a.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "chats").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["b", "../a", "", "a/../a"])
async def test_a_chat_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, name: str
) -> None:
    chats = Chats(tmp_path, NOTHING)
    await chats.add("a", Message("user", "one"))
    with pytest.raises(Refusal, match="Saved chats: a"):
        await chats.read(name)


async def test_a_chat_that_cannot_be_saved_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "chats").write_text("in the way", encoding="utf-8")
    with pytest.raises(Refusal, match="could not be saved"):
        await Chats(tmp_path / "chats", NOTHING).add("a", CALL)


async def test_a_chat_of_an_earlier_version_can_be_continued(tmp_path: Path) -> None:
    lines = [
        '{"role":"user","text":"look","calls":[],"call_id":null}',
        '{"role":"assistant","text":"","calls":[{"id":"c1","name":"look","arguments":"{}"}],'
        '"call_id":null}',
        '{"role":"tool","text":"empty","calls":[],"call_id":"c1"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert await Chats(tmp_path, NOTHING).read("a") == [
        Message("user", "look"),
        Message("assistant", "", (ToolCall("c1", "look", "{}"),)),
        Message("tool", "empty", tool_call_id="c1"),
    ]
