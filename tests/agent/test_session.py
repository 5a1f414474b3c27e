"""A sitting: lines that are typed, and what is shown for them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Literal

import anyio
import mcp_types as types
import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from agent.chat_history import Secrets
from agent.commands.talk import model_name
from agent.session import Session
from agent.terminal.front import Front
from agent.terminal.painter import Painter
from agent.terminal.region_reader import MaskedHistory
from agent.terminal.surface import PlainSurface
from agent.terminal.view import EventView
from kiln_mcp.llm import BudgetLimit, ModelAnswer, Usage
from scripted_chat import Step, calling, scripted
from talks import chat_options, talk

NO_LIMIT = BudgetLimit()


class Pizza(BaseModel):
    size: Literal["small", "large"]
    slices: int = Field(default=8, ge=2, le=12)
    takes_olives: bool = False
    wish: str | None = None


@dataclass
class Typist:
    """Types what was written beforehand, then ends."""

    lines: list[str] = field(default_factory=list[str])
    is_person = True
    reads_ahead = False

    async def line(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    async def answer(self, question: str) -> str | None:
        return await self.line()

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        line = await self.line()
        return None if line is None else keys[line]


@dataclass
class Sitting:
    session: Session
    shown: StringIO

    async def type(self, *lines: str) -> str:
        """Type lines; return what is shown for them."""
        start = len(self.shown.getvalue())
        self.session.front.reader = Typist(list(lines))
        await self.session.run()
        return self.shown.getvalue()[start:]


@asynccontextmanager
async def sitting(
    tmp_path: Path,
    *answers: Step,
    has_model: bool = True,
    limit: BudgetLimit = NO_LIMIT,
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

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    async def order(context: Context) -> str:
        """Ask how a pizza is to be."""
        answer = await context.elicit("Your pizza?", Pizza)
        data = getattr(answer, "data", None)
        return data.model_dump_json() if isinstance(data, Pizza) else answer.action

    shown = StringIO()
    surface = PlainSurface(shown, Painter(None, escapes=False))
    front = Front(EventView(surface, has_boxes=False), Typist())
    options = chat_options(tmp_path, limit=limit, **({} if has_model else {"model": ""}))
    with anyio.fail_after(60):
        async with talk(
            options,
            scripted(*answers) if has_model else None,
            server,
            front,
            mode="legacy",
            asks_itself=False,
        ) as chat:
            yield Sitting(Session(front, chat), shown)


async def test_without_a_model_talking_says_how_to_name_one_and_tools_work(tmp_path: Path) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        said = await it.type("hello")
        assert it.session.failed
        assert "--model" in said
        assert "--api-base http://localhost:11434/v1" in said
        assert "look is" not in said
        assert "house is empty" in await it.type('/call look {"place": "house"}')
        assert not it.session.failed


async def test_the_tools_are_listed_with_what_they_do(tmp_path: Path) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        shown = await it.type("/tools")
    assert "look (reads): Look at a place." in shown
    assert "wipe (destroys): Wipe everything." in shown


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
            ("/call look [1]", "not a JSON object"),
            ("/nonsense", "There is no /nonsense."),
        ):
            assert sentence in await it.type(line)
            assert it.session.failed


async def test_a_chat_is_gone_on_with_where_it_was_left(tmp_path: Path) -> None:
    wish = calling(("look", {"place": "x"}))
    async with sitting(tmp_path, wish, "It is empty.") as it:
        await it.type("Look at x")
        one = it.session.chat.name
    async with sitting(tmp_path, "Yes.") as it:
        shown = await it.type("/resume", "Are you sure?")
        assert f"Continuing {one}, 4 messages" in shown
        assert "It is empty." in shown
        assert it.session.conversation.messages[0].role == "system"
        assert [m.role for m in it.session.conversation.messages[1:]] == [
            *("user", "assistant", "tool", "assistant"),
            *("user", "assistant"),
        ]
        assert [m.content for m in await it.session.chat.chats.read(one)][-2:] == [
            "Are you sure?",
            "Yes.",
        ]


async def test_a_new_chat_knows_nothing_of_the_old_one(tmp_path: Path) -> None:
    async with sitting(tmp_path, "a", "b") as it:
        await it.type("first", "/new", "second")
        assert [m.content for m in it.session.conversation.messages[1:]] == ["second", "b"]
        assert len(it.session.chat.chats.names()) == 2


async def test_a_tools_text_cannot_move_the_cursor(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        shown = await it.type('/call look {"place": "\\u001b[2Kfree of charge"}')
    assert "\x1b" not in shown
    assert "free of charge" in shown


async def test_what_may_be_typed_next_is_known(tmp_path: Path) -> None:
    async with sitting(tmp_path, "a") as it:
        await it.type("hello")
        assert "/resume" in await it.session.next_words("")
        assert await it.session.next_words("/call") == ["look", "wipe", "order"]
        assert it.session.chat.name in await it.session.next_words("/resume")
        assert await it.session.next_words("/call look") == []


async def test_the_cost_of_a_chat_is_shown_and_a_new_chat_begins_at_zero(tmp_path: Path) -> None:
    answer = ModelAnswer("a", usage=Usage(1000, 234, cost_usd=0.5))
    async with sitting(tmp_path, answer) as it:
        assert "1 calls, 1,234 tokens, $0.5000." in await it.type("first", "/cost")
        assert "0 calls, 0 tokens, $0.0000." in await it.type("/new", "/cost")


async def test_calls_without_a_known_price_are_counted_apart(tmp_path: Path) -> None:
    answer = ModelAnswer("a", usage=Usage(10, 5, cost_usd=None))
    async with sitting(tmp_path, answer) as it:
        assert "without 1 calls, whose price is not known." in await it.type("first", "/cost")


async def test_a_chat_that_has_spent_its_budget_says_how_to_go_on(tmp_path: Path) -> None:
    async with sitting(tmp_path, "a", "b", limit=BudgetLimit(calls=1)) as it:
        assert "higher --budget and --resume" in await it.type("first", "second")
        assert it.session.failed


async def test_another_model_is_named_only_if_it_can_hold_a_conversation(tmp_path: Path) -> None:
    async with sitting(tmp_path) as it:
        assert "cannot hold a conversation" in await it.type("/model host")
        assert "scripted" in await it.type("/model")
        assert "There is no model 'nonsense'" in await it.type("/model nonsense")
        assert "The model is now openai/gpt-4.1" in await it.type("/model openai/gpt-4.1")


@pytest.mark.parametrize(
    ("name", "has_api_base", "expected"),
    [
        ("openai/gpt-4.1", False, "openai/gpt-4.1"),
        ("org/m", True, "api-base/org/m"),
        ("api-base/m", True, "api-base/m"),
        ("", True, ""),
    ],
)
def test_with_an_own_server_every_name_is_one_of_its_models(
    name: str, has_api_base: bool, expected: str
) -> None:
    assert model_name(name, has_api_base) == expected


async def test_a_form_of_a_server_is_filled_in_a_field_at_a_time(tmp_path: Path) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        shown = await it.type("/call order", "huge", "2", "20", "", "y", "no onions")
    assert '{"size":"large","slices":8,"takes_olives":true,"wish":"no onions"}' in shown
    assert "huge is none of the options" in shown
    assert "not between 2 and 12" in shown
    assert shown.index("Answered.") < shown.index("✓ 1 order")


@pytest.mark.parametrize(
    ("lines", "action"), [(["/decline"], "decline"), ([], "cancel"), (["1"], "cancel")]
)
async def test_a_form_can_be_declined_and_closed(
    tmp_path: Path, lines: list[str], action: str
) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        shown = await it.type("/call order", *lines)
    assert f"✓ 1 order: {action}" in shown


async def test_a_form_is_declined_aloud_if_no_person_types(tmp_path: Path) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        it.session.front.reader = Typist(["/call order"])
        it.session.front.reader.is_person = False
        await it.session.run()
        shown = it.shown.getvalue()
    assert "Your pizza?" in shown
    assert "Not answered: declined (no person at a terminal)." in shown


async def test_the_answer_to_a_question_is_shown_before_the_result(tmp_path: Path) -> None:
    async with sitting(tmp_path, has_model=False) as it:
        shown = await it.type("/call wipe", "n")
    assert shown.index("Not agreed.") < shown.index("✗ 1 wipe: declined")


async def test_ctrl_c_twice_ends_only_if_nothing_was_said_between(tmp_path: Path) -> None:
    async with sitting(tmp_path, "Hello.") as it:
        it.session.interrupt()
        await it.type("hello")
        it.session.interrupt()
        assert not it.session.was_interrupted
        it.session.interrupt()
        assert it.session.was_interrupted


async def test_a_path_is_said_to_the_model_and_is_no_command(tmp_path: Path) -> None:
    async with sitting(tmp_path, "I look there.", "So I do.") as it:
        assert "I look there." in await it.type("/tmp/shop is my project")
        assert "There is no /tmpshop." in await it.type("/tmpshop")
        assert it.session.conversation.messages[-2].content.endswith("/tmp/shop is my project")


async def test_of_a_pasted_log_the_beginning_is_shown_and_the_history_keeps_nothing(
    tmp_path: Path,
) -> None:
    shown = StringIO()
    surface = PlainSurface(shown, Painter(None, escapes=False), 100)
    log = "\n".join(f"line {number}" for number in range(5_000))
    Front(EventView(surface, has_boxes=False), Typist()).echo(f"> {log}")
    history = MaskedHistory(tmp_path / "history", Secrets({}))
    history.store_string(log)
    history.store_string("short")
    assert "> line 0\n" in shown.getvalue()
    assert shown.getvalue().endswith("line 19\n… 4980 more lines\n")
    assert "line 1" not in (tmp_path / "history").read_text("utf-8")
    assert "short" in (tmp_path / "history").read_text("utf-8")
