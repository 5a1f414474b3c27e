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
from agent.guided import FLOWS, LIMITS_NOTE, Flow
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
    def generate_data(project: str, count: int = 40, guidance: str = "") -> str:
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
        assert await say(chat, "1") == "spec, question 1 of 2: " + FLOWS[0].questions[0].words
        assert "spec, question 2 of 2" in await say(chat, "shop")
        events = await events_of(chat.conversation, "no refunds")
        [call] = [event for event in events if isinstance(event, ToolStarted)]
        assert (call.name, json.loads(call.arguments)) == (
            "build_spec",
            {"project": "shop", "wish": "no refunds"},
        )
        assert [e.text for e in events if isinstance(e, ToolFinished)] == ["a spec of no refunds"]
        assert "1. spec: say what a good answer is" in last_text(chat.conversation)
    assert small.requests == []


async def test_a_sentence_is_taken_for_a_flow_by_the_model(tmp_path: Path) -> None:
    async with guided(tmp_path, "optimise") as (chat, small):
        said = await say(chat, "make my prompt better")
        assert said.startswith("I take that for optimise: search for a better prompt.")
        assert "optimise, question 1 of 3" in said
    assert small.requests[0].choices == tuple(flow.name for flow in FLOWS)


@pytest.mark.parametrize("words", ["hello", "?", "77", "help me", "/", "0x1"])
async def test_what_is_no_sentence_opens_the_menu(words: str, tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, small):
        assert LIMITS_NOTE in await say(chat, words)
    assert small.requests == []


async def test_after_a_call_the_next_step_is_named(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        said = await say(chat, "spec", "shop", "no refunds")
    assert "what build_spec answered; /show shows it whole" in said
    assert "/spec goes on with this draft" in said


async def test_it_says_what_it_cannot_do_and_stop_leaves_a_flow(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        assert LIMITS_NOTE in await say(chat, "spec", "stop")
        assert "label, question 1 of 3" in await say(chat, "2")


async def test_an_answer_that_is_no_number_is_asked_for_again(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        text = await say(chat, "generate", "shop", "many")
        assert "'many' is no number." in text
        await say(chat, "6", "-")
        calls = [call for m in chat.conversation.messages for call in m.tool_calls]
        assert [json.loads(call.arguments) for call in calls] == [{"project": "shop", "count": 6}]


async def test_a_flow_goes_on_where_a_chat_was_left(tmp_path: Path) -> None:
    async with guided(tmp_path) as (chat, _):
        await say(chat, "spec", "shop")
        name = chat.name
    async with guided(tmp_path) as (chat, _):
        await chat.resume(name)
        await say(chat, "no refunds")
        [call] = [call for m in chat.conversation.messages for call in m.tool_calls]
        assert json.loads(call.arguments) == {"project": "shop", "wish": "no refunds"}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_flow_asks_for_arguments_that_its_tool_takes(flow: Flow) -> None:
    properties = installed_catalogue().find(flow.tool).input_schema["properties"]
    assert isinstance(properties, dict)
    assert {question.argument for question in flow.questions} <= set(properties)
