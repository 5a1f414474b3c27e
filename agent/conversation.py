"""The conversation: what the person says, what the model says, and the tools in between."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from agent.errors import ChatError, ModelFailed
from agent.fences import fenced
from agent.memory import reminded
from agent.messages import Message, ToolCall
from agent.model import ChatModel, Piece
from agent.tools import Toolbox, ToolResult

MOST_ROUNDS = 40
"""Rounds of tool calls in one turn; then the person is asked to go on."""

_STOPPED = (
    "The person stopped this call. What it had saved by then stays: look before doing it again."
)
_CUT_OFF = "\n[The answer was cut off here.]"
_TOO_LONG = (
    f"That took {MOST_ROUNDS} rounds of tool calls, so I stopped here. Say 'go on' to continue."
)


class Audience(Protocol):
    """Who watches the conversation."""

    def write(self, text: str) -> None:
        """Show a piece of the model's text."""
        ...

    def call_began(self, call: ToolCall) -> None:
        """Show that a tool is being called."""
        ...

    async def call_advanced(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        """Show how far a tool is."""
        ...

    def call_ended(self, call: ToolCall, result: ToolResult) -> None:
        """Show what a tool answered."""
        ...


Remember = Callable[[Message], Awaitable[None]]


@dataclass(slots=True)
class Conversation:
    """A conversation with one model about one workbench.

    Attributes:
        model: Who answers.
        toolbox: What can be done.
        audience: Who watches.
        remember: Keeps every message.
        messages: What was said, beginning with the system's message.
    """

    model: ChatModel
    toolbox: Toolbox
    audience: Audience
    remember: Remember
    messages: list[Message] = field(default_factory=list[Message])

    async def say(self, text: str) -> str:
        """Say something as the person; return the model's last words on it.

        Cancelling it leaves a conversation that can go on: what was written stays, calls that
        were finished have their answers, and those that were not, a sentence that says so.

        Raises:
            ChatError: The model does not answer. What was said stays, without an answer.
        """
        await self._add(Message("user", text))
        for _ in range(MOST_ROUNDS):
            message = await self._answer()
            if not message.calls:
                return message.text
            await self._carry_out(message.calls)
        self.audience.write(_TOO_LONG)
        await self._add(Message("assistant", _TOO_LONG))
        return _TOO_LONG

    async def _answer(self) -> Message:
        written: list[str] = []
        whole: Message | None = None
        try:
            async with aclosing(
                self.model.answer(reminded(self.messages), self.toolbox.definitions())
            ) as answer:
                async for part in answer:
                    if isinstance(part, Piece):
                        self.audience.write(part.text)
                        written.append(part.text)
                    else:
                        whole = part
        finally:
            if whole is None and written:
                with anyio.CancelScope(shield=True):
                    await self._add(Message("assistant", "".join(written) + _CUT_OFF))
        if whole is None:
            raise ModelFailed(self.model.name, "its answer was empty.")
        await self._add(whole)
        return whole

    async def _carry_out(self, calls: Sequence[ToolCall]) -> None:
        """Call tools, at once where all only read, else one after another, and keep the answers.

        Every call gets an answer, also when this is cancelled: models refuse a conversation with
        open calls.
        """
        answers = [_STOPPED] * len(calls)

        async def run(place: int) -> None:
            answers[place] = (await self._call(calls[place])).text

        try:
            if all(self.toolbox.only_reads(call.name) for call in calls):
                async with anyio.create_task_group() as tasks:
                    for place in range(len(calls)):
                        tasks.start_soon(run, place)
            else:
                for place in range(len(calls)):
                    await run(place)
        finally:
            with anyio.CancelScope(shield=True):
                for call, text in zip(calls, answers, strict=True):
                    await self._add(Message("tool", fenced(call.name, text), call_id=call.id))

    async def _call(self, call: ToolCall) -> ToolResult:
        self.audience.call_began(call)
        try:
            result = await self.toolbox.call(call, self.audience.call_advanced)
        except ChatError as error:
            result = ToolResult(str(error), failed=True)
        self.audience.call_ended(call, result)
        return result

    async def _add(self, message: Message) -> None:
        self.messages.append(message)
        await self.remember(message)
