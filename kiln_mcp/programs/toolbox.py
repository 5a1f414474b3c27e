"""The tools that a run config's model may call: built-in ones, skills, those of MCP servers."""

import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

import anyio
from pydantic import JsonValue

from kiln_mcp.llm import ModelAnswer, ModelRequest, Tool, ToolCall
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.programs.errors import ProgramFailure, cannot_run
from kiln_mcp.programs.program_place import ProgramPlace
from kiln_mcp.programs.skills import SKILL_ID, SKILL_TOOL, SkillText, read_skill
from kiln_mcp.programs.tool_servers import (
    ToolServer,
    call_tool,
    find_server,
    list_tools,
)
from storage import ExternalToolServer
from storage.text.excerpts import excerpt

if TYPE_CHECKING:
    from mcp import Client

CALL_S: Final = 60.0
"""The longest that one call of a tool may take."""
LONGEST_RESULT: Final = 24_000
"""Characters of a result that a model is shown."""


TOOL: Final = "tool "
SKILL: Final = "skill "
"""How the names of texts begin that a model is shown of its tools, and of its skills."""


def toolbox_model(run_config_id: str) -> str:
    """Return the name under which the engine knows the tools of a run config."""
    return f"program/tools-{run_config_id}"


_NUMBERS: Final[Mapping[str, JsonValue]] = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
}
_ARITHMETIC: Final[Mapping[str, tuple[str, Callable[[float, float], float]]]] = {
    "add_numbers": ("add", lambda a, b: a + b),
    "subtract_numbers": ("subtract", lambda a, b: a - b),
    "multiply_numbers": ("multiply", lambda a, b: a * b),
    "divide_numbers": ("divide", lambda a, b: a / b),
}
"""Kiln's own tools that run here, by their id: their function's name, and what they do."""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one run config.

    Attributes:
        name: The run config's name.
        model: The name of the tools among models.
        tools: The tools, as a model is shown them.
        servers: The server of each tool that has one, by the tool's name.
        skills: The skills; one of the tools reads them if there are any.
    """

    name: str
    model: str
    tools: tuple[Tool, ...]
    servers: Mapping[str, ToolServer]
    skills: tuple[SkillText, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The descriptions of servers' tools and the bodies of skills, as "tool x", "skill y"."""
        tools = {f"{TOOL}{tool.name}": tool.description for tool in self._server_tools}
        return tools | {f"{SKILL}{skill.name}": skill.body for skill in self.skills}

    @property
    def _server_tools(self) -> list[Tool]:
        return [tool for tool in self.tools if tool.name in self.servers]

    def with_texts(self, texts: Mapping[str, str]) -> "Toolbox":
        """Return the same tools with other texts; those that name nothing here are left out."""
        tools = [
            replace(tool, description=texts.get(f"{TOOL}{tool.name}", tool.description))
            if tool.name in self.servers
            else tool
            for tool in self.tools
        ]
        skills = [
            replace(skill, body=texts.get(f"{SKILL}{skill.name}", skill.body))
            for skill in self.skills
        ]
        return replace(self, tools=tuple(tools), skills=tuple(skills))

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Refuse: tools answer within an open session alone.

        Raises:
            ModelError: Always.
        """
        raise ModelError("The tools of {name!r} are no model.", name=request.model)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator["ToolSession"]:
        """Open the tools for one conversation; a server starts with the first call of a tool."""
        async with AsyncExitStack() as stack:
            yield ToolSession(self, stack)


class ToolSession:
    """The tools during one conversation. One task opens and uses it.

    It is a model of the engine: a request is the call of a tool, an answer its result. So results
    are kept like answers of models, and an attempt after a kill does not call a tool again.
    """

    def __init__(self, toolbox: Toolbox, stack: AsyncExitStack) -> None:
        self._toolbox = toolbox
        self._stack = stack
        self._clients: dict[str, Client] = {}

    @property
    def name(self) -> str:
        """The name of the tools among models."""
        return self._toolbox.model

    async def open_server(self, tool_name: str) -> None:
        """Start the server of a tool, unless that is done.

        Raises:
            ProgramFailure: It cannot be started.
        """
        server = self._toolbox.servers.get(tool_name)
        if server is not None and server.record.id not in self._clients:
            client = await self._stack.enter_async_context(server.connect())
            self._clients[server.record.id] = client

    async def skill(self, call: ToolCall) -> str | None:
        """Return what a call reads of a skill; None for the call of another tool."""
        if not self._toolbox.skills or call.name != SKILL_TOOL.name:
            return None
        arguments = _arguments_of(call.arguments)
        if isinstance(arguments, str):
            return arguments
        return excerpt(await read_skill(self._toolbox.skills, arguments), LONGEST_RESULT)

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Call the tool of a request made by `call_request`; what goes wrong is a result as well.

        Raises:
            ProgramFailure: The connection to its server broke.
        """
        call = json.loads(request.messages[-1].content)
        started = time.monotonic()
        text = await self._call(str(call["name"]), str(call["arguments"]))
        return ModelAnswer(text=text, latency_s=time.monotonic() - started)

    async def _call(self, name: str, text: str) -> str:
        from mcp import MCPError

        tool = next((tool for tool in self._toolbox.tools if tool.name == name), None)
        if tool is None:
            names = ", ".join(tool.name for tool in self._toolbox.tools)
            return f"Error: there is no tool {name!r}; there are: {names}."
        values = _arguments_of(text)
        if isinstance(values, str):
            return values
        server = self._toolbox.servers.get(name)
        if server is None:
            return _calculate(name, values)
        try:
            with anyio.fail_after(CALL_S):
                result, is_error = await call_tool(self._clients[server.record.id], name, values)
        except TimeoutError:
            return f"Error: the tool took longer than {CALL_S:g} s."
        except MCPError as error:
            return f"Error: {server.mask(str(error))}"
        result = server.mask(result)
        return excerpt(f"Error: {result}" if is_error else result, LONGEST_RESULT)


def _arguments_of(text: str) -> dict[str, JsonValue] | str:
    """Return the arguments of a call, or what is wrong with them."""
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return "Error: the arguments are no JSON."
    if not isinstance(arguments, dict):
        return "Error: the arguments are no JSON object."
    return cast("dict[str, JsonValue]", arguments)


def _calculate(name: str, arguments: Mapping[str, JsonValue]) -> str:
    calculate = next(work for own_name, work in _ARITHMETIC.values() if own_name == name)
    values = [arguments.get("a"), arguments.get("b")]
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    if len(numbers) < 2:
        return "Error: a and b must be numbers."
    try:
        return f"{calculate(numbers[0], numbers[1]):g}"
    except (ZeroDivisionError, OverflowError) as error:
        return f"Error: {error}."


async def open_toolbox(
    model: str,
    tool_ids: Sequence[str],
    servers: Sequence[ExternalToolServer],
    place: ProgramPlace,
    skills: tuple[SkillText, ...] = (),
) -> Toolbox:
    """Return the tools of some ids; each server that they name is asked for its list once.

    Args:
        model: The name of the tools among models.
        tool_ids: The tools, as Kiln names them.
        servers: The project's servers.
        place: Where they run.
        skills: The skills among them.

    Raises:
        ModelError: A tool cannot be used here, or a server gives no list.
    """
    tools: dict[str, Tool] = {}
    owners: dict[str, ToolServer] = {}
    lists: dict[str, list[Tool]] = {}
    for tool_id in tool_ids:
        if tool_id.startswith(SKILL_ID):
            tools[SKILL_TOOL.name] = SKILL_TOOL
            continue
        kind, _, rest = tool_id.partition("::")
        if kind == "kiln_tool" and rest in _ARITHMETIC:
            own_name = _ARITHMETIC[rest][0]
            tools[own_name] = Tool(own_name, f"{own_name.title()} two numbers.", _NUMBERS)
            continue
        server, name = _server_of(tool_id, servers, place)
        if server.record.id not in lists:
            lists[server.record.id] = await _list_of(server)
        server_tools = {tool.name: tool for tool in lists[server.record.id]}
        if name not in server_tools:
            raise cannot_run(
                place.name,
                f"the server {server.record.name!r} has no tool {name!r}; there are: "
                f"{', '.join(server_tools) or 'none'}.",
            )
        if name in tools and owners.get(name) != server:
            raise cannot_run(place.name, f"two of its tools have the name {name!r}. Name one.")
        tools[name], owners[name] = server_tools[name], server
    return Toolbox(place.name, model, tuple(tools.values()), owners, skills)


def _server_of(
    tool_id: str, servers: Sequence[ExternalToolServer], place: ProgramPlace
) -> tuple[ToolServer, str]:
    parts = tool_id.split("::")
    if len(parts) != 4 or parts[0] != "mcp":
        raise cannot_run(
            place.name,
            f"the tool {tool_id!r} does not run here. Tools of MCP servers, skills and Kiln's four "
            "of arithmetic do.",
        )
    record = find_server(servers, parts[2])
    if record is None:
        raise cannot_run(place.name, f"the project has no MCP server {parts[2]!r} for its tools.")
    server = ToolServer(record, place)
    server.check()
    return server, parts[3]


async def _list_of(server: ToolServer) -> list[Tool]:
    try:
        async with server.connect() as client:
            return await list_tools(client)
    except ProgramFailure as error:
        raise cannot_run(server.place.name, f"it {error.reason}") from error
