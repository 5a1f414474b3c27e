"""The conversation: the turns of the person and the model, and the tool calls between them."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio

from agent.fences import fence
from agent.mcp_tools import Toolbox, ToolResult
from agent.memory import shorten_history
from agent.model import TRUNCATION_NOTE, ChatModel
from kiln_mcp.llm import Message, ToolCall
from storage.errors import Refusal, WorkbenchError

MOST_ROUNDS: Final = 40
"""Rounds of tool calls in one turn; after them the person is asked to continue."""

_CANCEL_NOTE: Final = (
    "The person stopped this call. What it had saved by then stays: look before doing it again."
)
_ROUND_LIMIT_NOTE: Final = (
    f"That took {MOST_ROUNDS} rounds of tool calls, so I stopped here. Say 'go on' to continue."
)


class Audience(Protocol):
    """Shows the conversation."""

    def write(self, text: str) -> None:
        """Show a piece of the model's text."""
        ...

    def show_call(self, call: ToolCall) -> None:
        """Show that a tool is being called."""
        ...

    async def show_progress(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        """Show the progress of a call."""
        ...

    def show_result(self, call: ToolCall, result: ToolResult) -> None:
        """Show the result of a call."""
        ...


Recorder = Callable[[Message], Awaitable[None]]
"""Saves a message."""


@dataclass(slots=True)
class Conversation:
    """A conversation with one model about one workbench.

    Attributes:
        model: The model that answers.
        toolbox: The tools that it may call.
        audience: Shows the conversation.
        record: Saves each message.
        messages: All messages, beginning with the system's.
    """

    model: ChatModel
    toolbox: Toolbox
    audience: Audience
    record: Recorder
    messages: list[Message] = field(default_factory=list[Message])

    async def say(self, text: str) -> str:
        """Send the person's text, carry out the tool calls, and return the model's last text.

        After a cancellation the conversation can continue. Written text stays, finished calls
        keep their results, and each unfinished call gets a sentence that says so.

        Raises:
            WorkbenchError: The model does not answer. The person's text stays without an answer.
        """
        await self._add(Message("user", text))
        for _ in range(MOST_ROUNDS):
            message = await self._answer()
            if not message.tool_calls:
                return message.content
            await self._carry_out(message.tool_calls)
        self.audience.write(_ROUND_LIMIT_NOTE)
        await self._add(Message("assistant", _ROUND_LIMIT_NOTE))
        return _ROUND_LIMIT_NOTE

    async def _answer(self) -> Message:
        pieces: list[str] = []
        message: Message | None = None
        history = shorten_history(self.messages)
        try:
            async with aclosing(self.model.answer(history, self.toolbox.definitions())) as answer:
                async for part in answer:
                    if isinstance(part, str):
                        self.audience.write(part)
                        pieces.append(part)
                    else:
                        message = part
        finally:
            if message is None and pieces:
                with anyio.CancelScope(shield=True):
                    await self._add(Message("assistant", "".join(pieces) + TRUNCATION_NOTE))
        if message is None:
            raise Refusal(
                "The model '{name}' ended without an answer. Say it again, or change the model "
                "with /model NAME.",
                name=self.model.name,
            )
        await self._add(message)
        return message

    async def _carry_out(self, calls: Sequence[ToolCall]) -> None:
        """Carry out calls and keep their results: concurrently if all only read, else in order.

        Every call gets a result, also after a cancellation: models refuse a conversation with
        open calls.
        """
        results = [_CANCEL_NOTE] * len(calls)

        async def run(place: int) -> None:
            results[place] = (await self._call(calls[place])).text

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
                for call, text in zip(calls, results, strict=True):
                    result = fence(call.name, text)
                    await self._add(Message("tool", result, tool_call_id=call.id))

    async def _call(self, call: ToolCall) -> ToolResult:
        self.audience.show_call(call)
        try:
            result = await self.toolbox.call(call, self.audience.show_progress)
        except WorkbenchError as error:
            result = ToolResult(str(error), failed=True)
        self.audience.show_result(call, result)
        return result

    async def _add(self, message: Message) -> None:
        self.messages.append(message)
        await self.record(message)
