"""The models that hold the conversation, and one that is written beforehand."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio.lowlevel

from agent.errors import ModelFailed
from agent.messages import Message, ToolDefinition


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of an answer while it is being written."""

    text: str


Answer = AsyncGenerator[Piece | Message]
"""Pieces of text as they come, then the whole message, last."""


class ChatModel(Protocol):
    """Anything that can hold a conversation with tools."""

    @property
    def name(self) -> str:
        """What the person calls it."""
        ...

    def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Answer the conversation so far.

        Raises:
            ModelError: No answer came.
        """
        ...


class ScriptedChatModel:
    """Answers written beforehand, for tests: a message, or a function of the conversation."""

    name = "scripted"

    def __init__(self, *answers: Message | Callable[[Sequence[Message]], Message]) -> None:
        self._answers = list(answers)
        self.heard: list[tuple[Message, ...]] = []

    async def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Give the next answer."""
        await anyio.lowlevel.checkpoint()
        self.heard.append(tuple(messages))
        if not self._answers:
            raise ModelFailed(self.name, "its script is at its end")
        given = self._answers.pop(0)
        message = given(messages) if callable(given) else given
        if message.text:
            yield Piece(message.text)
        yield message
