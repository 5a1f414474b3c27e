"""Conversations for tests: a scripted model, a scripted person, a workbench in this process."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.server import MCPServer
from mcp.server.lowlevel import Server

from agent.chat_history import Secrets
from agent.chat_setup import Chat, ChatOptions, Wiring
from agent.conversation import Conversation
from agent.events import ApprovalAsked, Event, FormAsked, Reply
from agent.forms import FormReply
from agent.sdk_connection import SdkConnection, client_info, elicitation_callback
from agent.tool_approval import Approver
from agent.tool_server import ToolServer
from kiln_mcp.llm import Engine, EngineSettings, Model


@dataclass
class Person:
    """Answers every question alike; with several replies, in turn.

    Attributes:
        replies: What they answer; the last one is repeated.
        asked: The questions so far.
        forms: The forms so far.
        form_reply: What they answer to each.
    """

    replies: Sequence[Reply] = ("accept",)
    asked: list[ApprovalAsked] = field(default_factory=list[ApprovalAsked])
    forms: list[FormAsked] = field(default_factory=list[FormAsked])
    form_reply: FormReply = FormReply("decline", {})  # noqa: RUF009 - it is frozen
    by: str = "person"

    async def decide(self, question: ApprovalAsked) -> Reply:
        self.asked.append(question)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    async def fill(self, form: FormAsked) -> FormReply:
        self.forms.append(form)
        return self.form_reply


def chat_options(home: Path, /, **changes: object) -> ChatOptions:
    """Return the options of a chat with the model `scripted` in a folder."""
    options = {
        "home": home,
        "engine": EngineSettings(environment={}),
        "secrets": Secrets({}),
        "model": "scripted",
    }
    return ChatOptions(**{**options, **changes})  # pyright: ignore[reportArgumentType]


@asynccontextmanager
async def talk(
    options: ChatOptions,
    model: Model | None,
    server: Server[Any] | MCPServer[Any],
    approver: Approver | None = None,
    *,
    mode: str = "auto",
    asks_itself: bool = True,
) -> AsyncGenerator[Chat]:
    """Yield a conversation with a workbench that runs in this process."""
    wiring = Wiring.of(options, approver or Person())
    callback = elicitation_callback(wiring.approvals)
    models = {} if model is None else {"scripted": model}
    async with (
        Client(
            server, mode=mode, client_info=client_info(), elicitation_callback=callback
        ) as client,
        Engine(options.engine, models) as engine,
    ):
        workbench = await ToolServer.load(SdkConnection(client), asks_itself=asks_itself)
        async with wiring.open(engine, [workbench]) as chat:
            yield chat


async def events_of(conversation: Conversation, text: str) -> list[Event]:
    """Return the events of a whole turn; without a text, of a report."""
    async with aclosing(conversation.turn(text)) as events:
        return [event async for event in events]


def last_text(conversation: Conversation) -> str:
    """Return the last message's text."""
    return conversation.messages[-1].content
