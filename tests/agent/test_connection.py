"""The workbench that is started over stdio, and the programs that are no workbench."""

import sys
from pathlib import Path

import anyio
import pytest

from agent.approval_rules import ApprovalRecord, Approvals
from agent.connection import connect
from agent.mcp_tools import Toolbox
from kiln_mcp.llm import ToolCall
from storage.errors import Refusal
from talks import Person

SERVER = """\
import mcp_types as types
from mcp.server import MCPServer
server = MCPServer("small")
@server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
def look(place: str) -> str:
    return f"{place} is empty"
server.run("stdio")
"""


async def keep(record: ApprovalRecord) -> None: ...


CLOSED = Approvals(Person(["cancel"]), lambda event: None, keep)
"""A person who closes every question."""


async def unheard(progress: float, total: float | None, message: str | None) -> None: ...


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_of_either_era_is_reached_over_stdio(tmp_path: Path, mode: str) -> None:
    (tmp_path / "a server.py").write_text(SERVER, encoding="utf-8")
    command = f"{sys.executable} '{tmp_path / 'a server.py'}'"
    with anyio.fail_after(60):
        async with connect(command, CLOSED, mode=mode) as server:
            result = await server.call("look", {"place": "x"}, unheard)
    assert result.text == "x is empty"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("no-such-program-anywhere", "could not be started with 'no-such-program-anywhere'"),
        ("", "is no command for --server"),
        (f"{sys.executable} -c 'pass'", "Run that command by itself"),
        (f"{sys.executable} -c 'print(1)'", "Run that command by itself"),
    ],
)
async def test_what_is_no_server_is_said_in_a_sentence(command: str, sentence: str) -> None:
    with anyio.fail_after(60):
        with pytest.raises(Refusal) as caught:
            async with connect(command, CLOSED):
                raise AssertionError("it started")
    assert sentence in str(caught.value)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    command = f"{sys.executable} -c 'import sys; sys.stdin.read()'"
    with anyio.fail_after(60):
        with pytest.raises(Refusal, match="said nothing for 2 seconds"):
            async with connect(command, CLOSED, longest_start_s=2):
                raise AssertionError("it started")


async def test_a_server_that_ends_in_the_middle_is_a_failed_call(tmp_path: Path) -> None:
    dying = SERVER.replace('return f"{place} is empty"', "import os; os._exit(3)")
    (tmp_path / "server.py").write_text(dying, encoding="utf-8")
    with anyio.fail_after(60):
        async with connect(f"{sys.executable} {tmp_path / 'server.py'}", CLOSED) as server:
            first = await server.call("look", {"place": "x"}, unheard)
            second = await server.call("look", {"place": "x"}, unheard)
    assert first.failed
    assert second.failed
    assert first.text


async def test_a_server_on_a_command_line_is_not_believed_to_ask_by_itself(tmp_path: Path) -> None:
    posing = SERVER.replace('"small"', '"kiln-mcp"').replace("read_only", "destructive")
    (tmp_path / "server.py").write_text(posing, encoding="utf-8")
    with anyio.fail_after(60):
        async with connect(f"{sys.executable} {tmp_path / 'server.py'}", CLOSED) as server:
            approvals = Approvals(Person(["cancel"]), lambda _: None, keep)
            toolbox = Toolbox([server], approvals)
            result = await toolbox.call(ToolCall("1", "look", '{"place": "x"}'), unheard)
    assert "closed the question" in result.text
