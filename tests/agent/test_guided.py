"""The menus of the embedded model: questions, one call, and what it cannot do."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client
from mcp.server import MCPServer

from agent.chat_setup import Chat, Wiring
from agent.events import ToolFinished, ToolStarted
from agent.guided.flows import FLOWS, Flow
from agent.guided.menus import LIMITS_NOTE
from agent.sdk_connection import SdkConnection, elicitation_callback
from agent.tool_server import ToolServer
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import Engine
from scripted_model import ScriptedModel
from talks import Person, chat_options, events_of, last_text


def workbench() -> MCPServer[Any]:
    server = MCPServer("workbench")
    writes = types.ToolAnnotations(destructive_hint=False, open_world_hint=False)

    @server.tool(annotations=writes)
    def build_spec(project: str, wish: str) -> str:
        """Build a spec."""
        return f"a spec of {wish}"

    @server.tool(annotations=writes)
    def generate_data(project: str, examples: list[str], count: int = 40) -> str:
        """Make data."""
        return f"{count} items"

    return server


@asynccontextmanager
async def guided(folder: Path, choice: str = "spec") -> AsyncGenerator[tuple[Chat, ScriptedModel]]:
    wiring = Wiring.of(chat_options(folder, model="embedded"), Person())
    callback = elicitation_callback(wiring.approvals)
    small = ScriptedModel([choice], repeat=True)
    with anyio.fail_after(100):
        async with (
            Client(workbench(), elicitation_callback=callback) as client,
            Engine(wiring.options.engine, {"embedded": small}) as engine,
            wiring.open(engine, [await ToolServer.load(SdkConnection(client))]) as chat,
        ):
            yield chat, small


async def say(chat: Chat, *texts: str) -> str:
    for text in texts:
        await events_of(chat.conversation, text)
    return last_text(chat.conversation)


async def test_a_flow_asks_its_questions_and_then_makes_one_call(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, small):
        assert "spec, question 1 of 3: Which project?" in await say(chat, "2")
        assert "spec, question 2 of 3" in await say(chat, "shop")
        assert "spec, question 3 of 3" in await say(chat, "no refunds")
        events = await events_of(chat.conversation, "no")
        [call] = [event for event in events if isinstance(event, ToolStarted)]
        assert (call.name, json.loads(call.arguments)) == (
            "build_spec",
            {"project": "shop", "wish": "no refunds"},
        )
        assert [e.text for e in events if isinstance(e, ToolFinished)] == ["a spec of no refunds"]
        assert "Next: generate makes inputs" in last_text(chat.conversation)
    assert small.requests == []


async def test_a_sentence_is_taken_for_a_flow_by_the_model(tmp_path: Path) -> None:
    async with guided(tmp_path, "optimise") as (chat, small):
        said = await say(chat, "make my prompt better")
        assert said.startswith("I take that for optimise: search for a better prompt.")
        assert "optimise, question 1 of 4" in said
    assert small.requests[0].choices == tuple(flow.name for flow in FLOWS)


@pytest.mark.parametrize("words", ["hello", "?", "77", "help me", "/", "0x1"])
async def test_what_is_no_sentence_opens_the_menu(words: str, tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, small):
        assert LIMITS_NOTE in await say(chat, words)
    assert small.requests == []


async def test_lines_typed_meanwhile_are_answers_of_their_own(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        for line in ("shop", "no refunds", "no"):
            chat.conversation.add(line)
        await say(chat, "spec")
        [call] = [call for m in chat.conversation.messages for call in m.tool_calls]
    assert json.loads(call.arguments) == {"project": "shop", "wish": "no refunds"}


async def test_it_says_what_it_cannot_do_and_stop_leaves_a_flow(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        assert LIMITS_NOTE in await say(chat, "spec", "stop")
        assert "label, question 1 of 3" in await say(chat, "5")


async def test_an_answer_that_fits_no_question_is_asked_for_again(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        assert "3 of 4 or more." in await say(chat, "generate", "shop", "a; b;;  c ;")
        assert "'many' is no number." in await say(chat, "a; b; c; d", "many")
        assert "1 or more." in await say(chat, "0")
        await say(chat, "6")
        calls = [call for m in chat.conversation.messages for call in m.tool_calls]
    arguments = {"project": "shop", "count": 6, "examples": ["a", "b", "c", "d"]}
    assert [json.loads(call.arguments) for call in calls] == [arguments]


async def test_a_flow_goes_on_where_a_chat_was_left(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        await say(chat, "spec", "shop", "no refunds")
        name = chat.name
    async with guided(tmp_path) as (chat, _):
        await chat.resume(name)
        assert "Answer yes or no." in await say(chat, "perhaps")
        await say(chat, "no")
        [call] = [call for m in chat.conversation.messages for call in m.tool_calls]
        assert json.loads(call.arguments) == {"project": "shop", "wish": "no refunds"}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
@pytest.mark.parametrize("left_out", [(), ("words",), ("words", "text")])
def test_a_flow_gives_its_tools_arguments_that_they_take(
    flow: Flow, left_out: tuple[str, ...]
) -> None:
    answers = {question.argument: "x" for question in flow.questions}
    for name in left_out:
        answers.pop(name, None)
    for tool, arguments in flow.calls(flow, answers):
        schema = installed_catalogue().find(tool).input_schema
        assert isinstance(schema["properties"], dict)
        assert set(arguments) <= set(schema["properties"])
