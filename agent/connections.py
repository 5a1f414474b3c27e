"""What the copilot needs of a connection, and the connection to its own workbench.

The workbench is this package's own program, so its protocol is known: MCP 2026-07-28, without a
handshake. Importing the library `mcp` took more than half of the time before the first answer;
it serves all other servers (`sdk_connection`).
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Protocol, cast

from pydantic import JsonValue

from agent.server_tools import (
    JsonObject,
    ListedTool,
    ServerError,
    list_in,
    object_in,
    text_of,
    tool_in,
)
from agent.stdio_requests import StdioRequests, ToolProgress, open_requests
from agent.tool_approval import Questions, answer_question

PROTOCOL: Final = "2026-07-28"
CLIENT_NAME: Final = "kiln-chat"
MOST_PAGES: Final = 100
_MOST_ROUNDS: Final = 1000
"""Questions of one call: a labelling session asks about one item after the other."""
_PREFIX: Final = "io.modelcontextprotocol"
_FORM: Final = "elicitation/create"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered: the text for a model, the data, and whether the call failed."""

    text: str
    structured: JsonValue
    failed: bool


class Connection(Protocol):
    """A connection to a server. Each method raises ServerError if the server refuses."""

    async def list_tools(self) -> Sequence[ListedTool]:
        """Return the server's tools."""
        ...

    async def call(
        self, tool: str, arguments: Mapping[str, JsonValue], progress: ToolProgress
    ) -> Answer:
        """Call a tool; its questions go to the person meanwhile."""
        ...

    async def resource_uris(self) -> Sequence[str]:
        """Return the addresses of the server's resources."""
        ...

    async def completions(
        self, prompt: str, argument: tuple[str, str], context: Mapping[str, str]
    ) -> Sequence[str]:
        """Return how an argument (name, beginning) of a prompt can go on, by other arguments."""
        ...


@dataclass(frozen=True, slots=True)
class WorkbenchConnection:
    """The connection to the workbench that was installed with kiln-chat."""

    requests: StdioRequests
    questions: Questions

    async def list_tools(self) -> Sequence[ListedTool]:
        """Return the workbench's tools."""
        return [tool_in(entry) for entry in await self._entries("tools/list", "tools")]

    async def resource_uris(self) -> Sequence[str]:
        """Return the addresses of the workbench's resources."""
        return [
            str(entry.get("uri")) for entry in await self._entries("resources/list", "resources")
        ]

    async def completions(
        self, prompt: str, argument: tuple[str, str], context: Mapping[str, str]
    ) -> Sequence[str]:
        """Return how an argument of a prompt can go on."""
        name, value = argument
        params = {
            "ref": {"type": "ref/prompt", "name": prompt},
            "argument": {"name": name, "value": value},
            "context": {"arguments": dict(context)},
        }
        result = await self._ask("completion/complete", cast("JsonObject", params))
        return [str(value) for value in list_in(object_in(result, "completion"), "values")]

    async def call(
        self, tool: str, arguments: Mapping[str, JsonValue], progress: ToolProgress
    ) -> Answer:
        """Call a tool, and again with the person's answer to each of its questions.

        Raises:
            ServerError: The call was refused, or asks without an end.
        """
        params: dict[str, JsonValue] = {"name": tool, "arguments": dict(arguments)}
        replies: dict[str, JsonValue] = {}
        for _ in range(_MOST_ROUNDS):
            result = await self._ask("tools/call", {**params, **replies}, progress)
            if result.get("resultType") != "input_required":
                return _answer_in(result)
            answers = await self._answers(object_in(result, "inputRequests"))
            replies = {"inputResponses": answers, "requestState": result.get("requestState")}
            replies = {name: value for name, value in replies.items() if value is not None}
        raise ServerError(f"{tool} asked {_MOST_ROUNDS} questions in one call")

    async def _answers(self, requests: JsonObject) -> dict[str, JsonValue]:
        answers: dict[str, JsonValue] = {}
        for key in requests:
            request = object_in(requests, key)
            params = object_in(request, "params")
            if request.get("method") != _FORM:
                raise ServerError(f"it asks the client for {request.get('method')}")
            reply = await answer_question(
                self.questions, str(params.get("message")), object_in(params, "requestedSchema")
            )
            answers[key] = reply.wire()
        return answers

    async def _entries(self, method: str, key: str) -> Sequence[JsonObject]:
        entries: list[JsonObject] = []
        params: JsonObject = {}
        for _ in range(MOST_PAGES):
            page = await self._ask(method, params)
            entries += [entry for entry in list_in(page, key) if isinstance(entry, dict)]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
            params = {"cursor": cursor}
        return entries

    async def _ask(
        self, method: str, params: JsonObject, progress: ToolProgress | None = None
    ) -> JsonObject:
        return await self.requests.ask(method, params, _envelope(), progress)


def _envelope() -> JsonObject:
    return {
        f"{_PREFIX}/protocolVersion": PROTOCOL,
        f"{_PREFIX}/clientInfo": {"name": CLIENT_NAME, "version": version("kiln-mcp-server")},
        f"{_PREFIX}/clientCapabilities": {"elicitation": {"form": {}}},
    }


def _answer_in(result: JsonObject) -> Answer:
    structured = result.get("structuredContent")
    text = text_of(list_in(result, "content"), structured)
    return Answer(text, structured, bool(result.get("isError")))


@asynccontextmanager
async def open_workbench(
    command: Sequence[str], environment: Mapping[str, str], questions: Questions
) -> AsyncGenerator[Connection]:
    """Start the workbench and yield the connection.

    Raises:
        OSError: It does not start.
    """
    async with open_requests(command, environment) as requests:
        yield WorkbenchConnection(requests, questions)
