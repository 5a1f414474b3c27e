"""The person's other MCP servers: a file of the home, with a rule of approval for each.

    {"mcpServers": {"tickets": {"command": "tickets-mcp", "args": [], "env": {}, "reads": "free",
                                "allow": ["add_comment"]},
                    "policies": {"url": "https://example.org/mcp"}}}

Each call of them is asked about, because their servers see its arguments: with `"reads": "free"`
not those of tools that say they only read, and never those of tools in `allow`. One that fails is
named and left out.
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
from agent.tool_approval import Questions
from agent.tool_server import ToolServer
from storage.errors import Refusal
from storage.text.excerpts import excerpt

FILE: Final = "mcp_servers.json"
LONGEST_START_S: Final = 20.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


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
                task_status.started(
                    replace(
                        server,
                        name=name,
                        free_tools=entry.allow,
                        are_reads_asked=entry.reads == "ask",
                    )
                )
                await anyio.sleep_forever()
        except Refusal as error:
            self.emit(Note(str(error)))
            if not has_started:
                task_status.started(None)

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
