"""The workbench's tools, as an MCP client sees them."""

import json
from dataclasses import dataclass
from typing import Protocol, Self, cast

import anyio
import mcp_types as types
from mcp import Client, MCPError
from pydantic import JsonValue, ValidationError

from agent.approval import Ask, Effect, effect_of
from agent.errors import BadArguments, UnknownTool
from agent.messages import ToolCall, ToolDefinition

_LONGEST_RESULT = 24_000
"""Characters of a result that a model is shown."""
_MOST_PAGES = 100
_DECLINED = "The person declined. Nothing has been done. Repeat the call only if they ask for it."
_CANCELLED = (
    "The person closed the question without an answer. Nothing has been done. Ask them what they "
    "want before repeating the call."
)


class Progress(Protocol):
    """Hears how far a call is."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Hear it: what is done, what there is in all (None: not known), and a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, in its own words."""

    text: str
    failed: bool


class Toolbox:
    """The tools of a connected server."""

    def __init__(
        self, client: Client, tools: list[types.Tool], ask: Ask, *, asks_itself: bool = False
    ) -> None:
        self._client = client
        self._asks_itself = asks_itself
        self._tools = {tool.name: tool for tool in tools}
        self._ask = ask

    @classmethod
    async def of(cls, client: Client, ask: Ask, *, asks_itself: bool = False) -> Self:
        """List the tools of a server.

        Args:
            client: The connection.
            ask: Puts to the person what a tool does that cannot ask by itself.
            asks_itself: Whether the server is known to put its plans to the person. What it says
                of itself is no reason to believe that.
        """
        listed = await client.list_tools()
        tools = list(listed.tools)
        for _ in range(_MOST_PAGES):
            if listed.next_cursor is None:
                break
            listed = await client.list_tools(cursor=listed.next_cursor)
            tools += listed.tools
        return cls(client, tools, ask, asks_itself=asks_itself)

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the server's order."""
        return list(self._tools.values())

    def definitions(self) -> list[ToolDefinition]:
        """Return the tools as a model is told of them."""
        return [
            ToolDefinition(tool.name, tool.description or "", json.dumps(tool.input_schema))
            for tool in self._tools.values()
        ]

    def find(self, name: str) -> types.Tool:
        """Return a tool.

        Raises:
            UnknownTool: There is none of this name.
        """
        if name not in self._tools:
            raise UnknownTool(name, list(self._tools))
        return self._tools[name]

    def only_reads(self, name: str) -> bool:
        """Whether a tool changes nothing, so that several may run at once."""
        tool = self._tools.get(name)
        return tool is not None and effect_of(tool) is Effect.READS

    async def call(self, call: ToolCall, progress: Progress) -> ToolResult:
        """Call a tool as a model wished; what it names as an approval is for the server to check.

        Where an approval is needed the person is asked: by the server, through the client, or
        here where the server cannot.

        Raises:
            UnknownTool: There is none of this name.
            BadArguments: The arguments are no JSON object.
        """
        tool = self.find(call.name)
        arguments = _arguments(call)
        if effect_of(tool) is Effect.ASKS and not self._asks_itself:
            reply = await self._ask(_plan(tool, arguments))
            if reply != "accept":
                return ToolResult(_DECLINED if reply == "decline" else _CANCELLED, failed=False)
        try:
            answered = await self._client.call_tool(
                call.name, arguments, progress_callback=progress
            )
        except (MCPError, ValidationError, RuntimeError) as error:
            return ToolResult(str(error), failed=True)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return ToolResult(_GONE, failed=True)
        return ToolResult(_text(answered), failed=bool(answered.is_error))


_GONE = (
    "The workbench's server has ended. What it had saved stays; start kiln-chat again and /resume "
    "this chat."
)


def _plan(tool: types.Tool, arguments: dict[str, JsonValue]) -> str:
    shown = json.dumps(arguments, ensure_ascii=False)
    return f"{tool.title or tool.name} may spend money or destroy something: {tool.name} {shown}"


def _arguments(call: ToolCall) -> dict[str, JsonValue]:
    try:
        given = cast("JsonValue", json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError) as error:
        raise BadArguments(call.name, str(error)) from error
    if not isinstance(given, dict):
        raise BadArguments(call.name, f"they are a {type(given).__name__}")
    return given


def _text(result: types.CallToolResult) -> str:
    text = "\n".join(_block_text(block) for block in result.content)
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    if len(text) <= _LONGEST_RESULT:
        return text
    return (
        f"{text[:_LONGEST_RESULT]}\n[{len(text) - _LONGEST_RESULT} characters were cut; ask for "
        "less, or for a part.]"
    )


def _block_text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ResourceLink():
            return f"{block.title or block.name}: {block.uri}"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case _:
            return f"[{block.type}: not shown here]"
