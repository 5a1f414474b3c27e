"""A sitting: lines that are typed, and what is shown for them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path

import anyio
import mcp_types as types
from mcp import Client
from mcp.server import MCPServer
from rich.console import Console

from agent.conversation import Conversation
from agent.history import Chats, Secrets
from agent.messages import Message, ToolCall
from agent.model import ScriptedChatModel
from agent.screen import Screen
from agent.session import Session
from agent.tools import Toolbox

SYSTEM = Message("system", "You help.")


@dataclass
class Typist:
    """Types what was written beforehand, then ends."""

    lines: list[str] = field(default_factory=list[str])

    async def line(self, prompt: str) -> str | None:
        return self.lines.pop(0) if self.lines else None

    async def answer(self, question: str) -> str | None:
        return await self.line(question)


@dataclass
class Sitting:
    session: Session
    shown: StringIO

    async def type(self, *lines: str) -> str:
        """Type lines; return what is shown for them."""
        start = len(self.shown.getvalue())
        self.session.screen.reader = Typist(list(lines))
        await self.session.run()
        return self.shown.getvalue()[start:]


@asynccontextmanager
async def sitting(
    tmp_path: Path, *answers: Message, model_is_set: bool = True, terminal: bool = False
) -> AsyncGenerator[Sitting]:
    server = MCPServer("small")

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    def look(place: str) -> str:
        """Look at a place."""
        return f"{place} is empty"

    @server.tool(annotations=types.ToolAnnotations(destructive_hint=True))
    def wipe() -> str:
        """Wipe everything."""
        return "wiped"

    shown = StringIO()
    console = Console(file=shown, width=200, force_terminal=terminal, color_system=None)
    screen = Screen(console, Typist())
    chats = Chats(tmp_path / "chats", Secrets({}))
    with anyio.fail_after(30):
        async with Client(server) as client:
            conversation = Conversation(
                ScriptedChatModel(*answers),
                await Toolbox.of(client, screen.agree),
                screen,
                partial(chats.add, "one"),
                [SYSTEM],
            )
            session = Session(screen, chats, "one", conversation, model_is_set)
            yield Sitting(session, shown)


async def test_without_a_model_talking_says_how_to_name_one_and_tools_work(tmp_path: Path) -> None:
    async with sitting(tmp_path, model_is_set=False) as it:
        said = await it.type("hello")
        assert it.session.failed
        assert "--model" in said
        assert "--api-base http://localhost:11434/v1" in said
        assert "look is" not in said
        assert "house is empty" in await it.type('/call look {"place": "house"}')
        assert not it.session.failed


async def test_the_tools_are_listed_with_what_they_do(tmp_path: Path) -> None:
    async with sitting(tmp_path, model_is_set=False) as it:
        shown = await it.type("/tools")
    assert "look (reads): Look at a place." in shown
    assert "wipe (asks first): Wipe everything." in shown


async def test_what_destroys_waits_for_the_persons_yes_and_nothing_else(tmp_path: Path) -> None:
    for answer, expected in (("", "declined"), ("yes please", "declined"), ("y", "wiped")):
        async with sitting(tmp_path) as it:
            assert expected in await it.type("/call wipe", answer)
    async with sitting(tmp_path) as it:
        assert "closed the question" in await it.type("/call wipe")


async def test_what_a_tool_refuses_and_what_is_no_command_counts_as_failed(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        for line, sentence in (
            ("/call lok {}", "Did you mean 'look'?"),
            ("/call look [1]", "no JSON object"),
            ("/nonsense", "There is no /nonsense."),
        ):
            assert sentence in await it.type(line)
            assert it.session.failed


async def test_a_chat_is_gone_on_with_where_it_was_left(tmp_path: Path) -> None:
    wish = Message("assistant", "", (ToolCall("c", "look", '{"place": "x"}'),))
    async with sitting(tmp_path, wish, Message("assistant", "It is empty.")) as it:
        await it.type("Look at x")
    async with sitting(tmp_path, Message("assistant", "Yes.")) as it:
        it.session.chat = "two"
        shown = await it.type("/resume", "Are you sure?")
        assert "Going on with one, 4 messages" in shown
        assert "It is empty." in shown
        assert it.session.conversation.messages[0] == SYSTEM
        assert [m.role for m in it.session.conversation.messages[1:]] == [
            *("user", "assistant", "tool", "assistant"),
            *("user", "assistant"),
        ]
        assert [m.text for m in await it.session.chats.read("one")][-2:] == [
            "Are you sure?",
            "Yes.",
        ]


async def test_a_new_chat_knows_nothing_of_the_old_one(tmp_path: Path) -> None:
    async with sitting(tmp_path, Message("assistant", "a"), Message("assistant", "b")) as it:
        await it.type("first", "/new", "second")
        assert [m.text for m in it.session.conversation.messages[1:]] == ["second", "b"]
        assert len(it.session.chats.names()) == 2


async def test_on_a_terminal_an_answer_is_formatted_and_shown_once(tmp_path: Path) -> None:
    text = "# Title\n\nSome **bold** words.\n\n- one\n- two"
    async with sitting(tmp_path, Message("assistant", text), terminal=True) as it:
        shown = await it.type("go")
    assert "**" not in shown
    # The block that grows is drawn and taken away again before it is drawn for good.
    assert shown.rpartition("\x1b[2K")[2].count("two") == 1


async def test_a_tools_text_cannot_move_the_cursor(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type('/call look {"place": "\\u001b[2Kfree of charge"}')
    assert "\x1b" not in shown
    assert "free of charge" in shown


async def test_what_may_be_typed_next_is_known(tmp_path: Path) -> None:
    async with sitting(tmp_path, Message("assistant", "a")) as it:
        await it.type("hello")
        assert "/resume" in it.session.next_words("")
        assert it.session.next_words("/call") == ["look", "wipe"]
        assert it.session.next_words("/resume") == ["one"]
        assert it.session.next_words("/call look") == []
