"""The set-up of a conversation: the workbench, the engine, the chat, and what connects them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final, Self

import anyio

from agent.approval_rules import Approvals
from agent.chat_history import Chats, Secrets
from agent.connection import connect
from agent.conversation import Conversation
from agent.event_queue import EventQueue
from agent.events import Note
from agent.guided.places import WorkbenchPlaces
from agent.job_watch import JobWatch
from agent.mcp_tools import Toolbox
from agent.model import ChatModel, check_talker
from agent.modes import AutoLimits, Mode
from agent.other_servers import OtherServers
from agent.project_state import ProjectBriefing
from agent.tool_approval import Approver
from agent.tool_server import ToolServer
from kiln_mcp.home import prepare_home
from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, Message

_LOST_LINES: Final = (
    "{count} lines of this chat's file cannot be read and are left out: they were cut off, or "
    "changed, or written by a later version."
)


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How a conversation is opened.

    Attributes:
        home: The home, with the chats.
        engine: The engine's settings.
        secrets: What is never written to a file.
        model: The engine's name of the model; empty if none was named.
        limit: The most that the chat's model calls may cost.
        resume: The saved chat to continue; None for a new one.
        command: The command that serves another workbench; None for the own one.
        mode: How much is done without a question.
        auto_limits: The limits of the mode `auto`.
        needs_model: Whether a conversation without a usable model is refused.
        folder: Where the person stands; it may be a project.
    """

    home: Path
    engine: EngineSettings
    secrets: Secrets
    model: str = ""
    limit: BudgetLimit = field(default_factory=BudgetLimit)
    resume: str | None = None
    command: str | None = None
    mode: Mode = Mode.ASK
    auto_limits: AutoLimits = field(default_factory=AutoLimits)
    needs_model: bool = False
    folder: Path = field(default_factory=Path.cwd)


@dataclass(slots=True)
class Chat:
    """A conversation with the chat that keeps it.

    Attributes:
        conversation: The conversation.
        approvals: What answers its questions; the mode is set there.
        chats: All saved chats.
        name: The chat.
    """

    conversation: Conversation
    approvals: Approvals
    chats: Chats
    name: str

    async def resume(self, name: str) -> int:
        """Go on with a saved chat; return how many messages it has.

        Raises:
            Refusal: No chat has this name.
        """
        saved = await self.chats.load(name)
        await self._change(name, saved.messages)
        if saved.lost_lines:
            self.conversation.queue.emit(Note(_LOST_LINES.format(count=saved.lost_lines)))
        return len(saved.messages)

    async def begin(self) -> None:
        """Begin a new chat."""
        await self._change(self.chats.new_name(), [])

    async def _change(self, name: str, messages: Sequence[Message]) -> None:
        conversation = self.conversation
        conversation.model = await conversation.model.for_chat(name)
        conversation.recorder = recorder = self.chats.recorder(name)
        conversation.messages[:] = [
            *(message for message in conversation.messages if message.role == "system"),
            *(message for message in messages if message.role != "system"),
        ]
        self.approvals.forget()
        self.approvals.record = recorder.add_approval
        self.name = name


@dataclass(frozen=True, slots=True)
class Wiring:
    """What exists before the connections: their questions and events go there.

    Attributes:
        options: How the conversation is opened.
        queue: Where events go.
        chats: The saved chats.
        approvals: What answers questions.
        name: The chat.
    """

    options: ChatOptions
    queue: EventQueue
    chats: Chats
    approvals: Approvals
    name: str

    @classmethod
    def of(cls, options: ChatOptions, approver: Approver) -> Self:
        """Return the wiring of a conversation."""
        queue, chats = EventQueue(), Chats(options.home / "chats", options.secrets)
        name = chats.new_name() if options.resume is None else options.resume
        approvals = Approvals(approver, queue.emit, chats.recorder(name).add_approval)
        approvals.set_mode(options.mode, options.auto_limits)
        return cls(options, queue, chats, approvals, name)

    @asynccontextmanager
    async def open(self, engine: Engine, servers: Sequence[ToolServer]) -> AsyncGenerator[Chat]:
        """Open the conversation over its connections, the workbench first.

        Raises:
            Refusal: The saved chat cannot be read.
        """

        async def tell(reason: str) -> None:
            self.queue.emit(Note(reason))

        options, listening = self.options, engine.with_listener(tell)
        places = WorkbenchPlaces(servers[0])
        model = await ChatModel.open(listening, options.model, self.name, options.limit, places)
        conversation = Conversation(
            model,
            Toolbox(servers, self.approvals),
            JobWatch(servers[0], self.queue.emit),
            self.queue,
            self.chats.recorder(self.name),
            ProjectBriefing(servers[0], options.folder),
            [system_message()],
        )
        chat = Chat(conversation, self.approvals, self.chats, self.name)
        if options.resume is not None:
            await chat.resume(options.resume)
        async with conversation:
            yield chat


@asynccontextmanager
async def open_chat(options: ChatOptions, approver: Approver) -> AsyncGenerator[Chat]:
    """Open a conversation: start the workbench, and meanwhile import what the model needs.

    Raises:
        Refusal: The workbench does not start, the saved chat cannot be read, or the model that is
            needed cannot hold a conversation.
    """
    wiring = Wiring.of(options, approver)
    if options.resume is not None:
        wiring.chats.check(options.resume)
    async with _open_engine(options) as engine, anyio.create_task_group() as tasks:
        if options.needs_model:
            check_talker(engine, options.model)
        if options.model:
            tasks.start_soon(engine.prepare, options.model)
        other_servers = OtherServers(options.home, wiring.approvals, wiring.queue.emit)
        async with connect(options.command, wiring.approvals) as server:
            servers = [server, *await other_servers.connect(tasks)]
            async with wiring.open(engine, servers) as chat:
                yield chat
        tasks.cancel_scope.cancel()


def _open_engine(options: ChatOptions) -> Engine:
    with suppress(OSError):  # the response cache's own error says what is wrong with the home
        prepare_home(options.home)
    return Engine(options.engine)


def system_message() -> Message:
    """Return the instructions of the model."""
    return Message("system", files("agent").joinpath("prompts/system.md").read_text("utf-8"))
