"""The workbench's tools, as an MCP client sees them."""

import json
from dataclasses import dataclass
from typing import Protocol, Self, cast

import anyio
import mcp_types as types
from mcp import Client, MCPError
from pydantic import JsonValue, ValidationError

from agent.approval import APPROVAL_ID, Ask, Effect, asks_itself, effect_of
from agent.errors import BadArguments, UnknownTool
from agent.messages import ToolCall, ToolDefinition

_LONGEST_RESULT = 24_000
"""Characters of a result that a model is shown."""
_MOST_PAGES = 100
_DECLINED = "The person declined. Nothing has been done. Repeat the call only if they ask for it."


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

    def __init__(self, client: Client, tools: list[types.Tool], ask: Ask) -> None:
        self._client = client
        self._tools = {tool.name: tool for tool in tools}
        self._ask = ask

    @classmethod
    async def of(cls, client: Client, ask: Ask) -> Self:
        """List the tools of a server.

        Args:
            client: The connection.
            ask: Puts to the person what a tool does that cannot ask by itself.
        """
        listed = await client.list_tools()
        tools = list(listed.tools)
        for _ in range(_MOST_PAGES):
            if listed.next_cursor is None:
                break
            listed = await client.list_tools(cursor=listed.next_cursor)
            tools += listed.tools
        return cls(client, tools, ask)

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the server's order."""
        return list(self._tools.values())

    def definitions(self) -> list[ToolDefinition]:
        """Return the tools as a model is told of them, without what only a person may say."""
        return [
            ToolDefinition(tool.name, tool.description or "", json.dumps(self._shown(tool)))
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
        """Call a tool as a model wished; an approval in its arguments counts for nothing.

        Where an approval is needed the person is asked: by the server, through the client, or
        here where the server cannot.

        Raises:
            UnknownTool: There is none of this name.
            BadArguments: The arguments are no JSON object.
        """
        tool = self.find(call.name)
        arguments = _arguments(call)
        if asks_itself(self._client):
            arguments.pop(APPROVAL_ID, None)
        elif effect_of(tool) is Effect.ASKS and not await self._ask(_plan(tool, arguments)):
            return ToolResult(_DECLINED, failed=False)
        try:
            answered = await self._client.call_tool(
                call.name, arguments, progress_callback=progress
            )
        except (MCPError, ValidationError, RuntimeError) as error:
            return ToolResult(str(error), failed=True)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return ToolResult(_GONE, failed=True)
        return ToolResult(_text(answered), failed=bool(answered.is_error))

    def _shown(self, tool: types.Tool) -> dict[str, JsonValue]:
        schema: dict[str, JsonValue] = dict(tool.input_schema)
        properties = schema.get("properties")
        if isinstance(properties, dict) and asks_itself(self._client):
            schema["properties"] = {k: v for k, v in properties.items() if k != APPROVAL_ID}
        return schema


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
