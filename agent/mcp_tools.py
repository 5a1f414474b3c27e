"""The workbench's tools, as an MCP client sees them."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol, Self, cast

import anyio
import mcp_types as types
from mcp import Client, MCPError
from pydantic import JsonValue, ValidationError

from agent.tool_approval import Ask, ToolEffect, effect_of
from kiln_mcp.llm import Tool, ToolCall
from storage.errors import Refusal
from storage.text.suggestions import did_you_mean

_LONGEST_RESULT: Final = 24_000
"""Characters of a result that a model is shown."""
_MOST_PAGES: Final = 100
_DECLINE_NOTE: Final = (
    "The person declined. Nothing has been done. Repeat the call only if they ask for it."
)
_CANCEL_NOTE: Final = (
    "The person closed the question without an answer. Nothing has been done. Ask them what they "
    "want before repeating the call."
)
_LOSS_NOTE: Final = (
    "The workbench's server has ended. What it had saved stays; start kiln-chat again and /resume "
    "this chat."
)


class ToolProgress(Protocol):
    """Receives the progress of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Take the work done, the total (None: unknown) and a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The text that a tool answered."""

    text: str
    failed: bool


TOOLSET: Final = "kiln-mcp/toolset"
"""The key of a tool's `_meta` with its set, if that is not the default one."""


class Toolbox:
    """The tools of a connected server."""

    def __init__(
        self,
        client: Client,
        tools: list[types.Tool],
        ask: Ask,
        *,
        asks_itself: bool = False,
        toolsets: Collection[str] = (),
    ) -> None:
        self._client = client
        self._asks_itself = asks_itself
        self._tools = {tool.name: tool for tool in tools}
        self._ask = ask
        self._toolsets = toolsets

    @classmethod
    async def load(
        cls,
        client: Client,
        ask: Ask,
        *,
        asks_itself: bool = False,
        toolsets: Collection[str] = (),
    ) -> Self:
        """List the tools of a server.

        Args:
            client: The connection.
            ask: Asks the person about a call whose server cannot ask.
            asks_itself: Whether the server is trusted to put its plans to the person. What it
                claims about itself is no reason for trust.
            toolsets: The sets of tools, beside the default one, that a model is shown; the person
                can call all.
        """
        page = await client.list_tools()
        tools = list(page.tools)
        for _ in range(_MOST_PAGES):
            if page.next_cursor is None:
                break
            page = await client.list_tools(cursor=page.next_cursor)
            tools += page.tools
        return cls(client, tools, ask, asks_itself=asks_itself, toolsets=toolsets)

    @property
    def tools(self) -> list[types.Tool]:
        """The tools, in the server's order."""
        return list(self._tools.values())

    def definitions(self) -> list[Tool]:
        """Return the tools as a model is shown them."""
        return [
            Tool(tool.name, tool.description or "", tool.input_schema)
            for tool in self._tools.values()
            if self._is_shown(tool)
        ]

    def _is_shown(self, tool: types.Tool) -> bool:
        toolset = (tool.meta or {}).get(TOOLSET)
        return toolset is None or toolset in self._toolsets

    def find(self, name: str) -> types.Tool:
        """Return a tool.

        Raises:
            Refusal: There is none of this name.
        """
        if name not in self._tools:
            raise Refusal(
                "There is no tool '{name}'.{hint} /tools lists them.",
                name=name,
                hint=did_you_mean(name, self._tools),
            )
        return self._tools[name]

    def only_reads(self, name: str) -> bool:
        """Return whether a tool changes nothing, so that several calls may run at once."""
        tool = self._tools.get(name)
        return tool is not None and effect_of(tool) is ToolEffect.READS

    async def call(self, call: ToolCall, progress: ToolProgress) -> ToolResult:
        """Call a tool for a model.

        If approval is needed the person is asked: by the server through the client, or here if
        the server cannot ask. The server checks an approval id in the arguments.

        Raises:
            Refusal: There is no tool of this name, or the arguments are not a JSON object.
        """
        tool = self.find(call.name)
        arguments = _arguments(call)
        if effect_of(tool) is ToolEffect.ASKS and not self._asks_itself:
            reply = await self._ask(_plan(tool, arguments))
            if reply not in {"accept", "remember"}:
                return ToolResult(_DECLINE_NOTE if reply == "decline" else _CANCEL_NOTE, False)
        try:
            result = await self._client.call_tool(call.name, arguments, progress_callback=progress)
        except (MCPError, ValidationError, RuntimeError) as error:
            return ToolResult(str(error), failed=True)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return ToolResult(_LOSS_NOTE, failed=True)
        return ToolResult(_text(result), failed=bool(result.is_error))


def _plan(tool: types.Tool, arguments: dict[str, JsonValue]) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f"{tool.title or tool.name} may spend money or destroy something: {tool.name} {text}"


def _arguments(call: ToolCall) -> dict[str, JsonValue]:
    """Return the arguments of a call.

    Raises:
        Refusal: They are not a JSON object.
    """
    try:
        arguments = cast("JsonValue", json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError) as error:
        raise _malformed_arguments(call, str(error)) from error
    if not isinstance(arguments, dict):
        raise _malformed_arguments(call, f"they are a {type(arguments).__name__}")
    return arguments


def _malformed_arguments(call: ToolCall, reason: str) -> Refusal:
    return Refusal(
        "The arguments of {tool} are not a JSON object ({reason}). Write them again.",
        tool=call.name,
        reason=reason,
    )


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
