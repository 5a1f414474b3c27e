"""MCP servers of a project: their records, how they are reached, and the tools that they offer."""

import json
import math
import re
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

import anyio
from pydantic import JsonValue

from kiln_mcp.errors import leaves
from kiln_mcp.llm import Tool
from kiln_mcp.programs.errors import ProgramFailure, cannot_run
from kiln_mcp.programs.program import VARIABLE
from kiln_mcp.programs.program_place import ProgramPlace
from storage import ExternalToolServer
from storage.isolation.commands import leash_command
from storage.records.tools import LocalServer, RemoteServer
from storage.text.excerpts import excerpt_line

if TYPE_CHECKING:
    import mcp_types as types
    from mcp import Client

START_S: Final = 30.0
"""The longest that a server may take to start and to say what it offers."""
_LONGEST_TAIL: Final = 4096
_MOST_PAGES: Final = 100
_SECRET: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class ToolServer:
    """A server of tools that a project names.

    Attributes:
        record: Its record.
        place: Where it runs, and what it gets of the environment.
    """

    record: ExternalToolServer
    place: ProgramPlace

    def check(self) -> None:
        """Refuse a server that is no MCP server, is archived, or lacks a variable.

        Raises:
            ModelError: It is one of these.
        """
        properties = self.record.properties
        if not isinstance(properties, LocalServer | RemoteServer):
            raise cannot_run(
                self.place.name, f"{self.record.name!r} is no MCP server. Choose one that is."
            )
        if properties.is_archived:
            raise cannot_run(
                self.place.name, f"the server {self.record.name!r} is archived. Choose another."
            )
        self.place.check_variables(self._variables())

    def mask(self, text: str) -> str:
        """Return the server's words without the secrets of the environment and its own ones."""
        return self.place.mask(text, self._variables())

    def _variables(self) -> list[str]:
        """Return the names of the variables of ours that hold its secrets."""
        match self.record.properties:
            case LocalServer(secret_env_var_keys=keys):
                return list(keys)
            case RemoteServer(secret_header_keys=keys, headers=headers):
                variables = [name for value in headers.values() for name in VARIABLE.findall(value)]
                return [*map(secret_variable, keys), *variables]
            case _:
                return []

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["Client"]:
        """Start the server or reach it, for the time of the body, which bounds its own calls.

        Raises:
            ProgramFailure: It cannot be started or reached, broke, or a call took too long.
        """
        from mcp import MCPError

        words: IO[str]
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
            try:
                with anyio.CancelScope(deadline=anyio.current_time() + START_S) as scope:
                    async with AsyncExitStack() as stack:
                        client = await self._client(stack, words)
                        scope.deadline = math.inf
                        yield client
                if scope.cancelled_caught:
                    raise self._failure(f"did not start within {START_S:g} s", words)
            except TimeoutError as error:
                raise self._failure("took too long to answer", words) from error
            except (MCPError, OSError, ValueError, anyio.ClosedResourceError) as error:
                raise self._failure(f"broke: {error}", words) from error
            except ExceptionGroup as group:
                first = next(iter(leaves(group)))
                if isinstance(first, ProgramFailure):
                    raise first from group
                raise self._failure(f"broke: {type(first).__name__}: {first}", words) from group

    async def _client(self, stack: AsyncExitStack, words: IO[str]) -> "Client":
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        match self.record.properties:
            case LocalServer(command=command, args=arguments, env_vars=variables):
                start = leash_command((command, *arguments))
                secrets = self.place.variables(self._variables())
                parameters = StdioServerParameters(
                    command=start[0],
                    args=list(start[1:]),
                    env={**secrets, **variables},
                    cwd=self.place.folder,
                )
                # The file may be any text stream: the process writes to its descriptor.
                transport = stdio_client(parameters, errlog=cast("Any", words))
            case RemoteServer(server_url=url):
                import httpx2

                http = httpx2.AsyncClient(headers=self._headers(), timeout=START_S)
                await stack.enter_async_context(http)
                transport = streamable_http_client(url, http_client=http)
            case _:
                raise cannot_run(self.place.name, f"{self.record.name!r} is no MCP server.")
        return await stack.enter_async_context(Client(transport))

    def _headers(self) -> dict[str, str]:
        properties = self.record.properties
        if not isinstance(properties, RemoteServer):
            return {}
        environment = self.place.environment
        plain = {
            key: VARIABLE.sub(lambda match: environment.get(match[1], ""), value)
            for key, value in properties.headers.items()
        }
        secret = {key: environment[secret_variable(key)] for key in properties.secret_header_keys}
        return {**plain, **secret}

    def _failure(self, reason: str, words: IO[str]) -> ProgramFailure:
        words.seek(0)
        text = self.mask(words.read()[-_LONGEST_TAIL:])
        lines = [line for line in text.split("\n") if line.strip()]
        last_words = f" and said: {excerpt_line(lines[-1])}" if lines else ""
        detail = excerpt_line(self.mask(reason))
        name = f"(the MCP server {self.record.name!r})"
        return ProgramFailure(self.place.name, f"{name} {detail}{last_words}")


def secret_variable(key: str) -> str:
    """Return the variable of ours that holds a secret header: `X-Api-Key` is `X_API_KEY`."""
    return _SECRET.sub("_", key).strip("_").upper()


async def list_tools(client: "Client") -> list[Tool]:
    """Return the tools that a server offers."""
    tools: list[types.Tool] = []
    page = await client.list_tools()
    tools += page.tools
    for _ in range(_MOST_PAGES):
        if page.next_cursor is None:
            break
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return [Tool(tool.name, tool.description or "", tool.input_schema) for tool in tools]


async def call_tool(
    client: "Client", name: str, arguments: Mapping[str, JsonValue]
) -> tuple[str, bool]:
    """Call a tool; return the text of its result, and whether it is an error."""
    result = await client.call_tool(name, dict(arguments))
    texts = [block.text for block in result.content if block.type == "text"]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return "\n".join(texts), bool(result.is_error)


def find_server(servers: Sequence[ExternalToolServer], reference: str) -> ExternalToolServer | None:
    """Return the server of an id or a name; None if there is none."""
    return next((s for s in servers if reference in {s.id, s.name}), None)
