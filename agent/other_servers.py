"""The person's other MCP servers: a file of the home, with a rule of approval for each.

    {"mcpServers": {"tickets": {"command": "tickets-mcp", "args": [], "env": {}, "reads": "free",
                                "allow": ["add_comment"]},
                    "policies": {"url": "https://example.org/mcp"}}}

Each call of them is asked about, because their servers see its arguments: with `"reads": "free"`
not those of tools that say they only read, and never those of tools in `allow`. A tool that changed
since the person agreed to it is asked about once more. A server that fails is named and left out,
and so is a tool whose name no model can call. Long texts of tools are cut.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import anyio
from anyio.abc import TaskGroup, TaskStatus
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.connection import open_server
from agent.connections import Connection
from agent.events import Event, Note
from agent.server_tools import ListedTool
from agent.tool_approval import Questions
from agent.tool_pins import ToolPins
from agent.tool_server import SEPARATOR, ToolServer
from storage.errors import Refusal
from storage.text.excerpts import excerpt

FILE: Final = "mcp_servers.json"
LONGEST_START_S: Final = 20.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_TOOL_NAME: Final = 64
"""Characters of a tool's whole name that all providers take."""
_LONGEST_TEXT: Final = 2_000
_LONGEST_SCHEMA: Final = 20_000
"""Characters of a tool's description, and of its schema, that a model is sent each round."""
_MOST_NAMED: Final = 10
_CHANGED_TOOLS: Final = (
    "The server {server} added tools, or changed what they say of themselves, since you agreed to "
    "them: {tools}. Each is asked about until you agree once."
)


class ServerEntry(BaseModel):
    """One server of the file; the keys of other programs' files are taken as they are."""

    model_config = ConfigDict(frozen=True)

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default={})
    url: str | None = None
    reads: Literal["ask", "free"] = "ask"
    allow: frozenset[str] = frozenset()
    is_disabled: Annotated[bool, Field(alias="disabled")] = False


class _File(BaseModel):
    servers: Annotated[dict[str, ServerEntry], Field(alias="mcpServers")] = {}


@dataclass(frozen=True, slots=True)
class OtherServers:
    """Connects the servers of the file.

    Attributes:
        home: Where the file is.
        questions: Has the questions of servers answered.
        emit: Shows an event.
        longest_start_s: When to give up on a server.
    """

    home: Path
    questions: Questions
    emit: Callable[[Event], None]
    longest_start_s: float = LONGEST_START_S

    async def connect(self, tasks: TaskGroup) -> list[ToolServer]:
        """Connect all servers at once; they stay connected until the tasks are cancelled."""
        entries = self._entries()
        servers: dict[str, ToolServer] = {}

        async def start(name: str) -> None:
            server = await tasks.start(self._hold, name, entries[name])
            if server is not None:
                servers[name] = server

        async with anyio.create_task_group() as group:
            for name in entries:
                group.start_soon(start, name)
        return [servers[name] for name in entries if name in servers]

    def _entries(self) -> Mapping[str, ServerEntry]:
        file = self.home / FILE
        try:
            entries = _File.model_validate(json.loads(file.read_text("utf-8"))).servers
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, ValidationError, RecursionError) as error:
            reason = excerpt(" ".join(str(error).split()))
            self.emit(Note(f"{file} cannot be used, so no other server is connected: {reason}"))
            return {}
        for name in entries:
            if _NAME.fullmatch(name) is None:
                self.emit(
                    Note(
                        f"A server in {file} is left out: {excerpt(name)!r} is no name. Use "
                        "letters, digits and hyphens."
                    )
                )
        return {
            name: entry
            for name, entry in entries.items()
            if _NAME.fullmatch(name) and not entry.is_disabled
        }

    async def _hold(
        self, name: str, entry: ServerEntry, *, task_status: TaskStatus[ToolServer | None]
    ) -> None:
        """Keep one connection; a failure is said, and the talk goes on without the server."""

        def failed_start(reason: str) -> Refusal:
            return Refusal(
                "The server '{name}' of mcp_servers.json is left out: {reason}. Everything else "
                "works.",
                name=name,
                reason=reason.rstrip("."),
            )

        has_started = False
        try:
            connecting = self._connecting(name, entry)
            async with open_server(connecting, failed_start, self.longest_start_s) as server:
                has_started = True
                task_status.started(self._own(server, name, entry))
                await anyio.sleep_forever()
        except Refusal as error:
            self.emit(Note(str(error)))
            if not has_started:
                task_status.started(None)

    def _own(self, server: ToolServer, name: str, entry: ServerEntry) -> ToolServer:
        """Return a server under its rule, with the tools that a model can call."""
        longest = _LONGEST_TOOL_NAME - len(name) - len(SEPARATOR)
        tools = {
            tool: _with_short_texts(definition)
            for tool, definition in server.tools.items()
            if _TOOL_NAME.fullmatch(tool) and len(tool) <= longest
        }
        if unusable_tools := sorted(server.tools.keys() - tools.keys()):
            words = ", ".join(excerpt(repr(tool)) for tool in unusable_tools[:_MOST_NAMED])
            self.emit(Note(f"Tools of {name} whose names no model can call are left out: {words}"))
        pins = ToolPins.open(self.home, name, server.tools)
        is_asked = entry.reads == "ask" and not entry.allow
        if not is_asked and (changed := sorted(pins.changed & tools.keys())):
            words = ", ".join(changed[:_MOST_NAMED])
            self.emit(Note(_CHANGED_TOOLS.format(server=name, tools=words)))
        return replace(
            server,
            name=name,
            tools=tools,
            free_tools=entry.allow,
            are_reads_asked=entry.reads == "ask",
            pins=pins,
        )

    def _connecting(self, name: str, entry: ServerEntry) -> AbstractAsyncContextManager[Connection]:
        """Return the connection of an entry.

        Raises:
            Refusal: It names neither a command nor an address.
        """
        from agent.sdk_connection import open_connection

        if entry.url:
            return open_connection(entry.url, self.questions, name)
        if entry.command:
            program = ([entry.command, *entry.args], {**os.environ, **entry.env})
            return open_connection(program, self.questions, name)
        raise Refusal(
            "The server '{name}' of mcp_servers.json is left out: it has neither a command "
            "nor a url.",
            name=name,
        )


def _with_short_texts(tool: ListedTool) -> ListedTool:
    """Return a tool whose texts do not fill the context of a model."""
    text = excerpt(tool.description, _LONGEST_TEXT)
    is_long = len(json.dumps(tool.input_schema)) > _LONGEST_SCHEMA
    schema = {"type": "object"} if is_long else tool.input_schema
    return replace(tool, description=text, input_schema=schema)
