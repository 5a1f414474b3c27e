"""One MCP server as the conversation uses it: its tools, and the calls of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import anyio
from pydantic import JsonValue

from agent.connections import Connection
from agent.events import Effect, ToolFinished
from agent.server_tools import ListedTool, ServerError, ServerLostError
from agent.stdio_requests import ToolProgress
from agent.tool_pins import ToolPins
from kiln_mcp.llm import ToolCall

LONGEST_SILENCE_S: Final = 600.0
"""Seconds without progress after which a call of another server is given up."""
LONGEST_RESULT: Final = 24_000
"""Characters of a result that a model is shown."""
SEPARATOR: Final = "__"
"""Stands between the name of another server and that of its tool."""
DECLINED: Final = "declined"
NOT_APPROVED: Final = "not approved"
STOPPED: Final = "stopped"
_REFUSALS: Final = {"declined": DECLINED, "needs_approval": NOT_APPROVED}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered.

    Attributes:
        text: The text for a model.
        failed: Whether the call failed.
        structured: The answer as data; None if there is none.
        refusal: Why it was not carried out: "declined", "not approved" or "stopped", which means
            not to its end; empty if it was.
    """

    text: str
    failed: bool
    structured: JsonValue = None
    refusal: str = ""

    def event(self, call: ToolCall, seconds: float) -> ToolFinished:
        """Return the event that shows the result of a call."""
        return ToolFinished(
            call.id, call.name, self.text, self.failed, seconds, self.structured, self.refusal
        )


@dataclass(frozen=True, slots=True)
class ToolServer:
    """A connected server.

    Attributes:
        name: The prefix of its tools for the model; empty for the workbench.
        connection: The connection.
        tools: Its tools by their own names.
        asks_itself: Whether it is trusted to put its plans to the person. What it claims about
            itself is no reason for trust.
        free_tools: Tools of another server that the person allowed for good, by their own names.
        are_reads_asked: Whether even tools that say they only read are asked about.
        pins: The tools of another server that the person agreed to.
        longest_silence_s: When to give up on a call of another server.
    """

    name: str
    connection: Connection
    tools: Mapping[str, ListedTool]
    asks_itself: bool = False
    free_tools: frozenset[str] = frozenset()
    are_reads_asked: bool = False
    pins: ToolPins | None = None
    longest_silence_s: float = LONGEST_SILENCE_S

    @classmethod
    async def load(
        cls, connection: Connection, name: str = "", *, asks_itself: bool = False
    ) -> Self:
        """List the tools of a server.

        Raises:
            ServerError: It does not list them.
        """
        tools = {tool.name: tool for tool in await connection.list_tools()}
        return cls(name, connection, tools, asks_itself=asks_itself)

    def effect(self, tool: str) -> Effect:
        """Return the gravest effect that a call of a tool may have."""
        return self.tools[tool].effect

    def needs_question(self, tool: str) -> bool:
        """Return whether the copilot asks before it calls a tool, because the server does not."""
        if self.pins is not None and tool in self.pins.changed:
            return True
        if self.asks_itself or tool in self.free_tools:
            return False
        effect = self.effect(tool)
        if effect is Effect.READS:
            return self.are_reads_asked
        return effect is not Effect.WRITES or bool(self.name)

    def agree(self, tool: str) -> None:
        """Note that the person agreed to a call of a tool."""
        if self.pins is not None:
            self.pins.agree(tool)

    async def call(
        self, tool: str, arguments: Mapping[str, JsonValue], progress: ToolProgress
    ) -> ToolResult:
        """Call a tool; any failure is a result that says so.

        Another server is given up on if it says nothing for a long time.
        """
        if not self.name:
            return await self._answer(tool, arguments, progress)
        show = progress
        with anyio.move_on_after(self.longest_silence_s) as scope:

            async def note(progress: float, total: float | None, message: str | None) -> None:
                scope.deadline = anyio.current_time() + self.longest_silence_s
                await show(progress, total, message)

            return await self._answer(tool, arguments, note)
        return ToolResult(
            f"The server {self.name} said nothing for {self.longest_silence_s:g} seconds, so the "
            "call was given up. What it did by then is not known.",
            failed=True,
        )

    async def _answer(
        self, tool: str, arguments: Mapping[str, JsonValue], progress: ToolProgress
    ) -> ToolResult:
        try:
            answer = await self.connection.call(tool, arguments, progress)
        except ServerLostError:
            return ToolResult(self._loss_note(), failed=True)
        except ServerError as error:
            return ToolResult(str(error), failed=True)
        refusal = _refusal_in(answer.structured) if self.asks_itself else ""
        return ToolResult(_cut(answer.text), answer.failed, answer.structured, refusal)

    def _loss_note(self) -> str:
        if self.name:
            return f"The server {self.name} has ended. Everything else works without it."
        return (
            "The workbench's server has ended. What it had saved stays; start kiln-chat again "
            "and /resume this chat."
        )


def _refusal_in(structured: JsonValue) -> str:
    """Return why the workbench did nothing, by the status of its answer."""
    status = structured.get("status") if isinstance(structured, dict) else None
    return _REFUSALS.get(str(status), "")


def _cut(text: str) -> str:
    if len(text) <= LONGEST_RESULT:
        return text
    return (
        f"{text[:LONGEST_RESULT]}\n[{len(text) - LONGEST_RESULT} characters were cut; ask for "
        "less, or for a part.]"
    )
