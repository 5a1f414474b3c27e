"""The connections of a conversation: the workbench, started over stdio."""

import math
import os
import shlex
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import anyio

from agent.connections import Connection, open_workbench
from agent.server_tools import ServerError
from agent.tool_approval import Questions
from agent.tool_server import ToolServer
from storage.errors import Refusal

_TOOLSETS: Final = "KILN_MCP_TOOLSETS"
ALL_TOOLSETS: Final = "team,admin"
"""The model finds every tool by the search."""
LONGEST_START_S: Final = 60.0
"""Seconds after which a silent server counts as not started."""


@asynccontextmanager
async def connect(
    command: str | None,
    questions: Questions,
    *,
    mode: str = "auto",
    longest_start_s: float = LONGEST_START_S,
) -> AsyncGenerator[ToolServer]:
    """Start the workbench and yield its tools.

    Only the program that was installed with kiln-chat is trusted to ask the person itself.

    Args:
        command: The command that starts it, with its arguments; None for the own one.
        questions: Has the questions of servers answered.
        mode: "auto", or "legacy" for the handshake of the protocol before 2026-07-28.
        longest_start_s: When to give up.

    Raises:
        Refusal: The command does not start, or is not an MCP server.
    """
    own = own_command()
    command = own if command is None else command
    is_own = command == own
    words = _words_of(command)
    variables = {**os.environ, _TOOLSETS: ALL_TOOLSETS}
    if is_own and mode == "auto":
        connecting = open_workbench(words, variables, questions)
    else:
        from agent.sdk_connection import open_connection

        server_name = "" if is_own else "of --server"
        connecting = open_connection((words, variables), questions, server_name, mode)

    def failed_start(reason: str) -> Refusal:
        return Refusal(
            "The workbench could not be started with '{command}': {reason}. Run that command by "
            "itself to see why.",
            command=command,
            reason=reason.rstrip("."),
        )

    async with open_server(connecting, failed_start, longest_start_s) as server:
        yield replace(server, asks_itself=is_own)


@asynccontextmanager
async def open_server(
    connecting: AbstractAsyncContextManager[Connection],
    failed_start: Callable[[str], Refusal],
    longest_start_s: float,
) -> AsyncGenerator[ToolServer]:
    """Open a connection and yield the tools of its server.

    Args:
        connecting: The connection.
        failed_start: Makes the error of a reason.
        longest_start_s: When to give up.

    Raises:
        Refusal: There is no MCP server.
    """
    # The connection belongs to the scope, which stays open; only its deadline is removed.
    with anyio.CancelScope(deadline=anyio.current_time() + longest_start_s) as start_scope:
        try:
            connection = await connecting.__aenter__()
        except (OSError, ServerError, ValueError, BaseExceptionGroup) as error:
            raise failed_start(reason_of(error)) from error
        try:
            try:
                server = await ToolServer.load(connection)
            except ServerError as error:
                raise failed_start(reason_of(error)) from error
            start_scope.deadline = math.inf
            yield server
        finally:
            await connecting.__aexit__(None, None, None)
    if start_scope.cancelled_caught:
        raise failed_start(f"it said nothing for {longest_start_s:g} seconds")


def _words_of(command: str) -> list[str]:
    """Return a command line as words.

    Raises:
        Refusal: It is empty, or a quotation in it is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise Refusal(
            "'{command}' is no command for --server. Give a program with its arguments, and close "
            "each quotation; leave the option out for the workbench of kiln-chat.",
            command=command,
        )
    return words


def own_command() -> str:
    """Return the command of the workbench that was installed with kiln-chat."""
    sibling = shutil.which("kiln-mcp", path=str(Path(sys.executable).parent))
    return shlex.join([sibling or "kiln-mcp"])


def reason_of(error: BaseException) -> str:
    """Return the words of an error; of a group, those of its innermost one."""
    error = innermost(error)
    return str(error) or type(error).__name__


def innermost(error: BaseException) -> BaseException:
    """Return the first error inside a group; an error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
