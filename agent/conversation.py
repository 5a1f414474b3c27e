"""The conversation: what the person says, what the model says, and the tools in between."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from agent.errors import ChatError
from agent.messages import Message, ToolCall
from agent.model import ChatModel, Piece
from agent.tools import Toolbox, ToolResult

MOST_ROUNDS = 40
"""Rounds of tool calls in one turn; then the person is asked to go on."""

_STOPPED = "The person stopped this before it was done."


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

        Cancelling it leaves a conversation that can go on: calls that were not finished are
        answered with a sentence that says so.

        Raises:
            ChatError: The model does not answer. What was said stays, without an answer.
        """
        await self._add(Message("user", text))
        for _ in range(MOST_ROUNDS):
            message = await self._answer()
            if not message.calls:
                return message.text
            try:
                for call, result in await self._carry_out(message.calls):
                    await self._add(Message("tool", result.text, call_id=call.id))
            finally:
                with anyio.CancelScope(shield=True):
                    await self._close(message.calls)
        return (
            f"That took {MOST_ROUNDS} rounds of tool calls, so I stopped here. Say 'go on' to "
            "continue."
        )

    async def _answer(self) -> Message:
        whole = Message("assistant", "")
        async for part in self.model.answer(self.messages, self.toolbox.definitions()):
            if isinstance(part, Piece):
                self.audience.write(part.text)
            else:
                whole = part
        await self._add(whole)
        return whole

    async def _carry_out(self, calls: Sequence[ToolCall]) -> list[tuple[ToolCall, ToolResult]]:
        """Call tools: those that only read at once, others one after another."""
        if not all(self.toolbox.only_reads(call.name) for call in calls):
            return [(call, await self._call(call)) for call in calls]
        results: dict[str, ToolResult] = {}

        async def run(call: ToolCall) -> None:
            results[call.id] = await self._call(call)

        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(run, call)
        return [(call, results[call.id]) for call in calls]

    async def _call(self, call: ToolCall) -> ToolResult:
        self.audience.call_began(call)
        try:
            result = await self.toolbox.call(call, self.audience.call_advanced)
        except ChatError as error:
            result = ToolResult(str(error), failed=True)
        self.audience.call_ended(call, result)
        return result

    async def _close(self, calls: Sequence[ToolCall]) -> None:
        """Answer the calls that have no answer: models refuse a conversation with open calls."""
        answered = {message.call_id for message in self.messages if message.role == "tool"}
        for call in calls:
            if call.id not in answered:
                await self._add(Message("tool", _STOPPED, call_id=call.id))

    async def _add(self, message: Message) -> None:
        self.messages.append(message)
        await self.remember(message)
