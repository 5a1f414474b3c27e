"""Who is asked, for the tools of a server that cannot ask by itself."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import mcp_types as types
import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from agent.mcp_tools import Toolbox
from agent.tool_approval import Reply, ToolEffect, effect_of, elicitation_callback, serialize
from kiln_mcp.llm import ToolCall


class Secret(BaseModel):
    password: str


class Agreement(BaseModel):
    agree: bool


@dataclass
class Person:
    agrees: bool
    asked: list[str] = field(default_factory=list[str])

    async def ask(self, plan: str) -> Reply:
        self.asked.append(plan)
        return "accept" if self.agrees else "decline"


async def unheard(progress: float, total: float | None, message: str | None) -> None: ...


@asynccontextmanager
async def stranger(
    person: Person, ran: list[str], name: str = "stranger"
) -> AsyncGenerator[Toolbox]:
    server = MCPServer(name)

    @server.tool(annotations=types.ToolAnnotations(destructive_hint=True))
    def wipe(folder: str) -> str:
        """Take a folder away."""
        ran.append("wipe")
        return "gone"

    @server.tool()
    def silent() -> str:
        """Do nobody knows what."""
        ran.append("silent")
        return "done"

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    def look() -> str:
        """Look."""
        ran.append("look")
        return "seen"

    with anyio.fail_after(30):
        async with Client(server) as client:
            yield await Toolbox.load(client, person.ask)


@pytest.mark.parametrize(
    ("annotations", "effect"),
    [
        (types.ToolAnnotations(read_only_hint=True), ToolEffect.READS),
        (types.ToolAnnotations(destructive_hint=False, open_world_hint=False), ToolEffect.WRITES),
        (types.ToolAnnotations(destructive_hint=False, open_world_hint=True), ToolEffect.ASKS),
        (types.ToolAnnotations(destructive_hint=True, open_world_hint=False), ToolEffect.ASKS),
        (types.ToolAnnotations(destructive_hint=False), ToolEffect.ASKS),
        (types.ToolAnnotations(), ToolEffect.ASKS),
        (None, ToolEffect.ASKS),
    ],
)
def test_what_a_tool_does_not_say_is_taken_for_the_worst(
    annotations: types.ToolAnnotations | None, effect: ToolEffect
) -> None:
    tool = types.Tool(name="t", input_schema={"type": "object"}, annotations=annotations)
    assert effect_of(tool) is effect


@pytest.mark.parametrize("name", ["wipe", "silent"])
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_tool_that_cannot_ask_runs_only_after_the_person_agreed(
    name: str, agrees: bool
) -> None:
    person, ran = Person(agrees), list[str]()
    given = {"folder": "/precious"} if name == "wipe" else {}
    async with stranger(person, ran) as toolbox:
        result = await toolbox.call(ToolCall("1", name, json.dumps(given)), unheard)
    assert len(person.asked) == 1
    assert name in person.asked[0]
    assert json.dumps(given) in person.asked[0]
    assert ran == ([name] if agrees else [])
    assert not result.failed
    assert ("The person declined" in result.text) is not agrees


async def test_a_tool_that_only_reads_runs_without_a_question() -> None:
    person, ran = Person(False), list[str]()
    async with stranger(person, ran) as toolbox:
        result = await toolbox.call(ToolCall("1", "look", ""), unheard)
    assert (result.text, person.asked, ran) == ("seen", [], ["look"])


async def test_a_person_is_asked_one_thing_at_a_time() -> None:
    waiting, most = 0, 0

    async def ask(plan: str) -> Reply:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await anyio.lowlevel.checkpoint()
        waiting -= 1
        return "accept"

    in_turn = serialize(ask)
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(in_turn, str(number))
    assert most == 1


async def test_a_server_cannot_get_more_from_the_person_than_yes_or_no() -> None:
    person = Person(True)
    server = MCPServer("curious")

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    async def pry(context: Context) -> str:
        """Ask for a password."""
        return (await context.elicit("Your password?", Secret)).action

    callback = elicitation_callback(person.ask)
    with anyio.fail_after(30):
        async with Client(server, mode="legacy", elicitation_callback=callback) as client:
            toolbox = await Toolbox.load(client, person.ask)
            result = await toolbox.call(ToolCall("1", "pry", ""), unheard)
    assert (result.text, person.asked) == ("decline", [])


@pytest.mark.parametrize("reply", ["accept", "decline", "cancel"])
async def test_a_question_that_the_person_closes_is_no_answer(reply: Reply) -> None:
    server = MCPServer("kind")

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
    async def offer(context: Context) -> str:
        """Ask for a yes."""
        return (await context.elicit("Do it?", Agreement)).action

    async def answer(plan: str) -> Reply:
        return reply

    with anyio.fail_after(30):
        callback = elicitation_callback(answer)
        async with Client(server, mode="legacy", elicitation_callback=callback) as client:
            toolbox = await Toolbox.load(client, answer)
            result = await toolbox.call(ToolCall("1", "offer", ""), unheard)
    assert result.text == reply


async def test_a_server_that_names_itself_like_the_workbench_is_not_believed() -> None:
    person, ran = Person(False), list[str]()
    async with stranger(person, ran, name="kiln-mcp") as toolbox:
        result = await toolbox.call(ToolCall("1", "wipe", '{"folder": "/x"}'), unheard)
    assert (len(person.asked), ran) == (1, [])
    assert "The person declined" in result.text
