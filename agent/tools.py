"""The workbench's tools, as an MCP client sees them."""

import json
from dataclasses import dataclass
from typing import Protocol, cast

import mcp_types as types
from mcp import Client, MCPError
from pydantic import JsonValue

from agent.errors import BadArguments, UnknownTool
from agent.messages import ToolCall, ToolDefinition

_LONGEST_RESULT = 24_000
"""Characters of a result that a model is shown."""

_CONFIRM = "confirm"


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

    def __init__(self, client: Client, tools: list[types.Tool]) -> None:
        self._client = client
        self._tools = {tool.name: tool for tool in tools}

    @classmethod
    async def of(cls, client: Client) -> "Toolbox":
        """List the tools of a server."""
        return cls(client, (await client.list_tools()).tools)

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the server's order."""
        return list(self._tools.values())

    def definitions(self) -> list[ToolDefinition]:
        """Return the tools as a model is told of them, without what only a person may say."""
        return [
            ToolDefinition(tool.name, tool.description or "", json.dumps(_shown(tool)))
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
        return bool(tool and tool.annotations and tool.annotations.read_only_hint)

    async def call(self, call: ToolCall, progress: Progress) -> ToolResult:
        """Call a tool as a model wished; an approval in its arguments counts for nothing.

        The server asks the person, through the client, where an approval is needed.

        Raises:
            UnknownTool: There is none of this name.
            BadArguments: The arguments are no JSON object.
        """
        tool = self.find(call.name)
        arguments = _arguments(call)
        if _takes_approval(tool):
            arguments.pop(_CONFIRM, None)
        try:
            answered = await self._client.call_tool(
                call.name, arguments, progress_callback=progress
            )
        except MCPError as error:
            return ToolResult(str(error), failed=True)
        return ToolResult(_text(answered), failed=bool(answered.is_error))


def _takes_approval(tool: types.Tool) -> bool:
    return _CONFIRM in tool.input_schema.get("properties", {})


def _shown(tool: types.Tool) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = dict(tool.input_schema)
    properties = schema.get("properties")
    if isinstance(properties, dict):
        schema["properties"] = {key: value for key, value in properties.items() if key != _CONFIRM}
    return schema


def _arguments(call: ToolCall) -> dict[str, JsonValue]:
    try:
        given = cast("JsonValue", json.loads(call.arguments or "{}"))
    except ValueError as error:
        raise BadArguments(call.name, str(error)) from error
    if not isinstance(given, dict):
        raise BadArguments(call.name, f"they are a {type(given).__name__}")
    return given


def _text(result: types.CallToolResult) -> str:
    blocks = [block.text for block in result.content if isinstance(block, types.TextContent)]
    text = "\n".join(blocks)
    if len(text) <= _LONGEST_RESULT:
        return text
    return (
        f"{text[:_LONGEST_RESULT]}\n[{len(text) - _LONGEST_RESULT} characters were cut; ask for "
        "less, or for a part.]"
    )
