"""Connections to servers of others, by the library `mcp`, which takes long to import."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import cast

import anyio
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT
from pydantic import JsonValue, ValidationError

from agent.connections import CLIENT_NAME, MOST_PAGES, Answer, Connection
from agent.server_tools import (
    JsonObject,
    ListedTool,
    ServerError,
    ServerLostError,
    text_of,
    tool_in,
)
from agent.stdio_requests import ToolProgress
from agent.tool_approval import Questions, answer_question


@dataclass(frozen=True, slots=True)
class SdkConnection:
    """A connection of the library."""

    client: Client

    async def list_tools(self) -> Sequence[ListedTool]:
        """Return the server's tools.

        Raises:
            ServerError: It does not list them.
        """
        with _own_errors():
            page = await self.client.list_tools()
            tools = list(page.tools)
            for _ in range(MOST_PAGES):
                if page.next_cursor is None:
                    break
                page = await self.client.list_tools(cursor=page.next_cursor)
                tools += page.tools
        return [
            tool_in(tool.model_dump(mode="json", by_alias=True, exclude_unset=True))
            for tool in tools
        ]

    async def call(
        self, tool: str, arguments: Mapping[str, JsonValue], progress: ToolProgress
    ) -> Answer:
        """Call a tool.

        Raises:
            ServerError: The call was refused, or the server has ended.
        """
        with _own_errors():
            result = await self.client.call_tool(tool, dict(arguments), progress_callback=progress)
        blocks = [block.model_dump(mode="json", by_alias=True) for block in result.content]
        structured = cast("JsonValue", result.structured_content)
        return Answer(text_of(blocks, structured), structured, bool(result.is_error))

    async def resource_uris(self) -> Sequence[str]:
        """Return the addresses of the server's resources.

        Raises:
            ServerError: It has none to list.
        """
        with _own_errors():
            page = await self.client.list_resources()
        return [str(resource.uri) for resource in page.resources]

    async def completions(
        self, prompt: str, argument: tuple[str, str], context: Mapping[str, str]
    ) -> Sequence[str]:
        """Return how an argument of a prompt can go on.

        Raises:
            ServerError: It completes nothing.
        """
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        name, value = argument
        with _own_errors():
            answer = await self.client.complete(
                reference, {"name": name, "value": value}, dict(context)
            )
        return list(answer.completion.values)


@contextmanager
def _own_errors() -> Generator[None]:
    """Raise what the library raises as errors of ours."""
    try:
        yield
    except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
        raise ServerLostError("the connection was closed") from error
    except (MCPError, ValidationError, RuntimeError) as error:
        raise ServerError(str(error)) from error


@asynccontextmanager
async def open_connection(
    target: str | tuple[Sequence[str], Mapping[str, str]],
    questions: Questions,
    server: str,
    mode: str = "auto",
) -> AsyncGenerator[Connection]:
    """Connect a server and yield the connection.

    Args:
        target: Its address; or the command that starts it, and that program's variables.
        questions: Has the questions of the server answered.
        server: Its name in questions; empty for the own workbench.
        mode: "auto", or "legacy" for the handshake of the protocol before 2026-07-28.

    Raises:
        ServerError: It is no MCP server.
        OSError: Its program does not start.
        ValueError: The command holds a NUL.
    """
    if isinstance(target, str):
        place: str | StdioServerParameters = target
    else:
        (program, *arguments), variables = target
        place = StdioServerParameters(command=program, args=arguments, env=dict(variables))
    client = Client(
        place,
        mode=mode,
        client_info=client_info(),
        elicitation_callback=elicitation_callback(questions, server),
    )
    try:
        await client.__aenter__()
    except MCPError as error:
        raise ServerError(str(error)) from error
    try:
        yield SdkConnection(client)
    finally:
        await client.__aexit__(None, None, None)


def client_info() -> types.Implementation:
    """Return how the copilot calls itself to servers."""
    return types.Implementation(name=CLIENT_NAME, version=version("kiln-mcp-server"))


def elicitation_callback(questions: Questions, server: str = "") -> ElicitationFnT:
    """Return the callback by which a server asks the person: to approve a plan, or for answers.

    Args:
        questions: Has its questions answered.
        server: The name of the server; empty for the own workbench, whose plans are believed.
    """

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        schema = cast("JsonObject", params.requested_schema)
        reply = await answer_question(questions, params.message, schema, server)
        return types.ElicitResult.model_validate(reply.wire())

    return respond
