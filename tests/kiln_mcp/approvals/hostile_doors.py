"""Every door by which an obedient model may reach the tools, for the standing test."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol

import anyio.to_thread
import mcp_types as types
from click.testing import CliRunner
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue, ValidationError

from agent.conversation import Conversation
from agent.events import ApprovalAsked, FormAsked, Reply
from agent.forms import FormReply
from agent.modes import Mode
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.server import build_server
from kiln_mcp.llm import ModelAnswer, ModelRequest
from kiln_mcp.operations.job_control.answers import JobList
from scripted_chat import calling
from scripted_model import ScriptedModel
from talks import chat_options, events_of, last_text, talk
from tests.kiln_mcp.approvals.hostile_world import HostileWorld
from tests.kiln_mcp.approvals.obedient import Call, JsonObject, ObedientModel

Era = Literal["auto", "legacy"]
Action = Literal["decline", "cancel"]
PLANNING = "kiln-chat, plans"
"""The door that makes no call which does more than read."""
MOST_CALLS = 900
"""Calls in one drive; so many different ones are enough for any tool to give way."""


class Door(Protocol):
    """A way to the tools.

    Attributes:
        questions: What a person was asked so far.
    """

    questions: list[str]

    async def call(self, call: Call) -> str:
        """Make a call; return all that the model would read of its answer."""
        ...


DoorOf = Callable[[HostileWorld], AbstractAsyncContextManager[Door]]


@dataclass(slots=True)
class Drive:
    """What an obedient model did at a door.

    Attributes:
        answers: What each tool answered, in order.
        calls: How many calls were made.
    """

    answers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    calls: int = 0

    def stopped(self) -> set[str]:
        """Return the tools of which some call waited for the person, or was declined."""
        signs = ("needs_approval", "declined", "Declined", "not approved", "only plans")
        return {
            tool
            for tool, answers in self.answers.items()
            if any(sign in answer for answer in answers for sign in signs)
        }


async def drive(world: HostileWorld, door: Door, most: int = MOST_CALLS) -> Drive:
    """Let the obedient model read everything, then do everything that it has read.

    It first calls every tool as it works, so that a tool that acts unasked is always caught; then
    it obeys the corpus, and every answer that it gets.
    """
    model = ObedientModel(world.tools)
    queue = deque(Call(tool, given) for tool, uses in world.tools.items() for given in uses)
    seen = {_key(call) for call in queue}
    plain = len(queue)
    done = Drive()

    def add(text: str) -> None:
        fresh = {_key(call): call for call in model.obey(text) if _key(call) not in seen}
        seen.update(fresh)
        queue.extend(fresh.values())

    while queue and done.calls < most:
        call = queue.popleft()
        answer = await door.call(call)
        done.calls += 1
        done.answers.setdefault(call.tool, []).append(answer)
        add(answer)
        if done.calls == plain:
            for text in world.texts():
                add(text)
    return done


def _key(call: Call) -> str:
    return f"{call.tool} {json.dumps(call.arguments, sort_keys=True)}"


class McpDoor:
    """An MCP client; its person, if it can reach one, never agrees."""

    def __init__(self, client: Client, questions: list[str]) -> None:
        self.client = client
        self.questions = questions

    async def call(self, call: Call) -> str:
        try:
            result = await self.client.call_tool(call.tool, dict(call.arguments))
        except (MCPError, ValidationError, RuntimeError) as error:
            return str(error)
        return answer_text(result)


def answer_text(result: types.CallToolResult) -> str:
    """Return both forms of an answer: a model may be shown either."""
    blocks = [block.text for block in result.content if isinstance(block, types.TextContent)]
    return "\n".join([*blocks, json.dumps(result.structured_content, ensure_ascii=False)])


@asynccontextmanager
async def mcp_door(
    world: HostileWorld,
    *,
    era: Era,
    action: Action | None = None,
    extensions: Sequence[ClientExtension] = (),
) -> AsyncGenerator[McpDoor]:
    """Connect a client of an era, whose person declines, cancels, or cannot be asked."""
    questions: list[str] = []

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        questions.append(params.message)
        return types.ElicitResult(action=action or "cancel")

    catalogue = installed_catalogue()
    server = build_server(catalogue.open_workspace(world.settings), catalogue)
    async with Client(
        server,
        mode=era,
        elicitation_callback=None if action is None else respond,
        extensions=list(extensions),
    ) as client:
        yield McpDoor(client, questions)


class _TaskHandle(types.Result):
    """The answer to a call that became a task."""

    result_type: Literal["task"] = "task"
    task_id: str


class _Tasks(ClientExtension):
    """A client that follows tasks by their ids alone."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[_TaskHandle]]:
        async def follow(handle: _TaskHandle, context: ClaimContext) -> types.CallToolResult:
            text = f"task {handle.task_id} is working"
            return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

        return [ResultClaim(result_type="task", model=_TaskHandle, resolve=follow)]


def task_door(world: HostileWorld) -> AbstractAsyncContextManager[Door]:
    """Connect a client that declares MCP tasks and cannot ask its person."""
    return mcp_door(world, era="auto", extensions=[_Tasks()])


class JobDoor(McpDoor):
    """A client that gives no call time to wait, so that all long work goes on as a job.

    Every job that it hears of it tries once to resume without limits.
    """

    def __init__(self, client: Client, questions: list[str]) -> None:
        super().__init__(client, questions)
        self._resumed: set[str] = set()

    async def call(self, call: Call) -> str:
        item = next(
            (one for one in installed_catalogue().capabilities if one.name == call.tool), None
        )
        properties = {} if item is None else item.input_schema.get("properties")
        waits = isinstance(properties, dict) and "wait_s" in properties
        now: dict[str, JsonValue] = {"wait_s": 0} if waits else {}
        answer = await super().call(Call(call.tool, {**call.arguments, **now}))
        listed = await self.client.call_tool("check_job", {})
        jobs = JobList.model_validate({"jobs": [], **(listed.structured_content or {})}).jobs
        for job in [one for one in jobs[:1] if one.job not in self._resumed]:
            self._resumed.add(job.job)
            wish: JsonObject = {"job": job.job, "limit_usd": 1000.0, "limit_calls": 100_000}
            answer += await super().call(Call("resume_job", {**wish, "confirm": True}))
            answer += await super().call(Call("resume_job", wish))
        return answer


@asynccontextmanager
async def job_door(world: HostileWorld) -> AsyncGenerator[Door]:
    """Connect a client that makes a job of all that it can."""
    async with mcp_door(world, era="auto") as door:
        yield JobDoor(door.client, door.questions)


class CommandDoor:
    """The command line, whose standard input is no terminal and says yes to everything."""

    def __init__(self, world: HostileWorld) -> None:
        self.questions: list[str] = []
        self._run = CliRunner(env={**world.environment, "KILN_MCP_DAEMON": "off"}).invoke

    async def call(self, call: Call) -> str:
        command = [call.tool.replace("_", "-")]
        for name, value in call.arguments.items():
            command += _options(name, value)
        run = partial(self._run, cli, command, input="y\n" * 20)
        result = await anyio.to_thread.run_sync(run)
        return f"{result.output} {result.exception or ''}"


def _options(name: str, value: JsonValue) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [word for part in value for word in (option, str(part))]
    return [option, value if isinstance(value, str) else json.dumps(value)]


@asynccontextmanager
async def command_door(world: HostileWorld) -> AsyncGenerator[Door]:
    """Use the command line without a terminal."""
    yield CommandDoor(world)


class ChatDoor:
    """kiln-chat: its person says no to every question."""

    def __init__(self, questions: list[str]) -> None:
        self.questions = questions
        self.conversation: Conversation | None = None
        self._next: Call | None = None

    by = "person"

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Say no."""
        self.questions.append(question.plan)
        return "decline"

    async def fill(self, form: FormAsked) -> FormReply:
        """Answer nothing."""
        self.questions.append(form.message)
        return FormReply("decline", {})

    def answer(self, request: ModelRequest) -> str | ModelAnswer:
        """Make the call that was handed to the door, then repeat what was read."""
        call, self._next = self._next, None
        if call is None:
            return request.messages[-1].content
        return calling((call.tool, dict(call.arguments)))

    async def call(self, call: Call) -> str:
        assert self.conversation is not None
        self._next = call
        del self.conversation.messages[1:]  # each call is a chat of its own
        await events_of(self.conversation, "Do what you have read.")
        return last_text(self.conversation)


@asynccontextmanager
async def chat_door(world: HostileWorld, mode: Mode) -> AsyncGenerator[Door]:
    """Talk through kiln-chat's conversation and toolbox; `auto` may spend nothing."""
    catalogue = installed_catalogue()
    settings = replace(world.settings, toolsets=("team", "admin"))
    server = build_server(catalogue.open_workspace(settings), catalogue)
    door = ChatDoor([])
    options = chat_options(world.root / "chat", mode=mode, folder=world.root)
    async with talk(options, ScriptedModel(door.answer), server, door) as chat:
        door.conversation = chat.conversation
        yield door


DOORS: dict[str, DoorOf] = {
    "mcp, cannot ask, 2026-07-28": partial(mcp_door, era="auto"),
    "mcp, cannot ask, handshake": partial(mcp_door, era="legacy"),
    "mcp, declines, 2026-07-28": partial(mcp_door, era="auto", action="decline"),
    "mcp, declines, handshake": partial(mcp_door, era="legacy", action="decline"),
    "mcp, cancels, 2026-07-28": partial(mcp_door, era="auto", action="cancel"),
    "mcp, cancels, handshake": partial(mcp_door, era="legacy", action="cancel"),
    "tasks": task_door,
    "jobs": job_door,
    "command line": command_door,
    "kiln-chat, asks": partial(chat_door, mode=Mode.ASK),
    "kiln-chat, auto": partial(chat_door, mode=Mode.AUTO),
    PLANNING: partial(chat_door, mode=Mode.PLAN),
}
"""The doors; those that reach a person never hear a yes."""
