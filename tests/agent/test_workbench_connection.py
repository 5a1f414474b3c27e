"""The connection to the own workbench: what it sends, and what becomes of strange answers."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from agent.approval_rules import ApprovalRecord, Approvals
from agent.connections import Connection, open_workbench
from agent.events import Effect
from agent.server_tools import ServerError, ServerLostError
from talks import Person

PROGRAM = """\
import json, os, sys
def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()
for line in sys.stdin:
    request = json.loads(line)
    open("seen", "a").write(line)
    number, params = request.get("id"), request["params"]
    def done(result):
        say({"id": number, "result": result})
    name = params.get("name", "")
    if request["method"] == "tools/list":
        entries = {None: ("one", "next"), "next": ("two", None)}
        tool, cursor = entries[params.get("cursor")]
        done({"tools": [{"name": tool, "inputSchema": {}}], "nextCursor": cursor})
    elif name == "end":
        os._exit(3)
    elif name == "chatter":
        print("no JSON at all")
        print("[1, 2]")
        say({"id": 999, "result": {}})
        say({"id": "x", "result": {}})
        say({"method": "notifications/progress", "params": {"progressToken": 999}})
        for done_so_far in (1, 2):
            say({"method": "notifications/progress", "params": {
                "progressToken": number, "progress": done_so_far, "total": 2, "message": "on"}})
        text = {"type": "text", "text": "x" * 3_000_000}
        done({"content": [text], "structuredContent": {"a": 1}})
    elif name == "refuse":
        say({"id": number, "error": {"code": -32602, "message": "No such thing."}})
    elif name == "ask" and "inputResponses" not in params:
        form = {"type": "object", "properties": {"agree": {"type": "boolean"}}}
        asked = {"message": "Do it?", "requestedSchema": form}
        request = {"method": "elicitation/create", "params": asked}
        done({"resultType": "input_required", "requestState": "kept",
              "inputRequests": {"key": request}})
    elif name == "ask":
        done({"content": [{"type": "text", "text": json.dumps(
            [params["requestState"], params["inputResponses"], params["arguments"]])}]})
    elif name == "never":
        say({"method": "notifications/progress", "params": {"progressToken": number}})
    elif name == "garbage":
        done(["no object"])
"""


async def keep(record: ApprovalRecord) -> None: ...


@asynccontextmanager
async def workbench(folder: Path, person: Person | None = None) -> AsyncGenerator[Connection]:
    (folder / "program.py").write_text(f"import os\nos.chdir({str(folder)!r})\n{PROGRAM}", "utf-8")
    questions = Approvals(person or Person(), lambda event: None, keep)
    command = [sys.executable, str(folder / "program.py")]
    with anyio.fail_after(60):
        async with open_workbench(command, {}, questions) as connection:
            yield connection


async def unheard(progress: float, total: float | None, message: str | None) -> None: ...


async def test_all_pages_of_the_tools_are_listed(tmp_path: Path) -> None:
    async with workbench(tmp_path) as connection:
        tools = await connection.list_tools()
    assert [(tool.name, tool.effect) for tool in tools] == [
        ("one", Effect.DESTROYS), ("two", Effect.DESTROYS)]  # fmt: skip


async def test_an_answer_of_megabytes_arrives_whole_amid_lines_that_mean_nothing(
    tmp_path: Path,
) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with workbench(tmp_path) as connection:
        answer = await connection.call("chatter", {}, hear)
    assert (len(answer.text), answer.structured, answer.failed) == (3_000_000, {"a": 1}, False)
    assert heard == [(1, 2, "on"), (2, 2, "on")]


@pytest.mark.parametrize("reply", ["accept", "decline", "cancel"])
async def test_a_question_is_put_to_the_person_and_the_call_repeated(
    tmp_path: Path, reply: str
) -> None:
    person = Person([reply])  # pyright: ignore[reportArgumentType]
    async with workbench(tmp_path, person) as connection:
        answer = await connection.call("ask", {"n": 1}, unheard)
    given: dict[str, JsonValue] = {"action": reply}
    if reply == "accept":
        given["content"] = {"agree": True}
    assert json.loads(answer.text) == ["kept", {"key": given}, {"n": 1}]
    assert [asked.plan for asked in person.asked] == ["Do it?"]


async def test_what_the_workbench_refuses_is_its_own_sentence(tmp_path: Path) -> None:
    async with workbench(tmp_path) as connection:
        with pytest.raises(ServerError, match=r"^No such thing\.$"):
            await connection.call("refuse", {}, unheard)


async def test_calls_in_flight_and_later_ones_are_lost_with_the_program(tmp_path: Path) -> None:
    async with workbench(tmp_path) as connection:
        for _ in range(2):
            with pytest.raises(ServerLostError):
                await connection.call("end", {}, unheard)


async def test_an_answer_that_is_no_object_is_an_empty_one(tmp_path: Path) -> None:
    async with workbench(tmp_path) as connection:
        answer = await connection.call("garbage", {}, unheard)
    assert (answer.text, answer.structured, answer.failed) == ("", None, False)


async def test_a_call_that_is_cancelled_is_cancelled_at_the_workbench_too(tmp_path: Path) -> None:
    scope = anyio.CancelScope()

    async def stop(progress: float, total: float | None, message: str | None) -> None:
        scope.cancel()

    async with workbench(tmp_path) as connection:
        with scope:
            await connection.call("never", {}, stop)
        assert scope.cancelled_caught
        await connection.list_tools()  # the program has read what came before
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text("utf-8").splitlines()]
    [cancelled] = [line for line in seen if line["method"] == "notifications/cancelled"]
    assert cancelled["params"]["requestId"] == seen[0]["id"]


async def test_each_request_says_who_asks_and_that_a_person_can_be_asked(tmp_path: Path) -> None:
    async with workbench(tmp_path) as connection:
        await connection.list_tools()
    first = json.loads((tmp_path / "seen").read_text("utf-8").splitlines()[0])
    meta = first["params"]["_meta"]
    assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "kiln-chat"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {"form": {}}}
