"""Programs that are a tool of an MCP server."""

import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio
from pydantic import JsonValue

from kiln_mcp.llm import ModelAnswer, ModelRequest, Tool
from kiln_mcp.programs.attempts import Retry, with_attempts
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.programs.handover import Handover
from kiln_mcp.programs.program import ToolProgram
from kiln_mcp.programs.program_answers import read_answer
from kiln_mcp.programs.program_place import ProgramPlace
from kiln_mcp.programs.tool_servers import ToolServer, call_tool, list_tools


@dataclass(frozen=True, slots=True)
class ToolModel:
    """Calls a tool for each request; the server is started for each, so that none sees another."""

    program: ToolProgram
    server: ToolServer
    place: ProgramPlace

    def check(self) -> None:
        """Refuse a server that cannot be reached for any item. It is not started.

        Raises:
            ModelError: It is no MCP server, is archived, or lacks a variable.
        """
        self.server.check()

    def source_digest(self) -> str:
        """Return a digest of nothing: what a server runs cannot be seen."""
        return ""

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Call the tool.

        Raises:
            ProgramFailure: It failed, passed a limit, or answered nothing that can be used.
            ModelError: Its server cannot be used.
        """
        attempt = partial(self._call, Handover.of(request))
        return await with_attempts(self.program.retries, attempt)

    async def _call(self, handover: Handover) -> ModelAnswer:
        program, name = self.program, self.place.name
        started = time.monotonic()
        async with self.server.connect() as client, _limit(name, program.timeout_s):
            arguments = program.arguments
            if arguments is None:
                tools = await list_tools(client)
                values = input_arguments(name, program.tool, tools, handover)
            else:
                values = {key: handover.fill_value(value) for key, value in arguments.items()}
            text, is_error = await call_tool(client, program.tool, values)
        if is_error:
            raise Retry(name, f"answered with an error: {self.server.mask(text)}")
        content = text.encode("utf-8", "replace")
        if len(content) > program.largest_output:
            raise ProgramFailure(name, f"answered more than {program.largest_output} bytes")
        seconds = time.monotonic() - started
        return read_answer(name, program, content, seconds, self.server.mask)


@asynccontextmanager
async def _limit(name: str, seconds: float) -> AsyncGenerator[None]:
    """Bound the time of the body."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise Retry(name, f"took longer than {seconds:g} s") from error


def input_arguments(
    name: str, tool_name: str, tools: list[Tool], handover: Handover
) -> Mapping[str, JsonValue]:
    """Return the arguments of a tool that takes the task's input.

    An object is the arguments themselves. Text is the tool's only required argument, or its only
    one.

    Raises:
        ProgramFailure: The server has no such tool, or it is not clear which argument is meant.
    """
    tool = next((tool for tool in tools if tool.name == tool_name), None)
    if tool is None:
        names = ", ".join(tool.name for tool in tools) or "none"
        raise ProgramFailure(name, f"has no tool {tool_name!r}; there are: {names}")
    value = handover.input_value
    if isinstance(value, dict):
        return value
    properties = list(tool.parameters.get("properties", {}))
    required = list(tool.parameters.get("required", []))
    for names in (required, properties):
        if len(names) == 1:
            return {str(names[0]): value}
    argument_names = json.dumps(properties)
    raise ProgramFailure(
        name, f"takes the arguments {argument_names}: say in `arguments` which one gets '{{input}}'"
    )
