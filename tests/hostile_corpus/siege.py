"""Feed the whole corpus to the real daemon, while a second client asks all the time."""

import json
import re
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_thread
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from pydantic import JsonValue

from bridge_client import BRIDGE, agree
from kiln_mcp.doors.bridge import Daemon, Exchange
from tests.hostile_corpus.archives import ARCHIVES
from tests.hostile_corpus.changes import apply_change
from tests.hostile_corpus.inputs import HostileInput, JsonObject, fill, read_inputs
from tests.hostile_corpus.model_server import hostile_models
from tests.hostile_corpus.world import World
from work_orders import take_orders

FORBIDDEN: Final = re.compile(
    r"unexpected error|ExceptionGroup|Traceback|canary-5812|root:x:0|Errno"
)
LONGEST_ERROR: Final = 4_000
CALL_WITHIN_S: Final = 25.0
META: Final[Mapping[str, object]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
KINDS: Final = (
    *("references", "mcp_arguments", "schemas", "patterns", "expressions", "templates"),
    *("records", "folders", "git_settings", "tables", "model_answers"),
)


@dataclass(slots=True)
class Siege:
    """What was seen.

    Attributes:
        world: The folders.
        pid: The daemon's.
        inputs: How many were given.
        faults: What was wrong with an answer, each with its input.
        slowest: The longest wait of the second client, in seconds, with the input meanwhile.
        waits: How often it was answered.
        peaks: The most memory of the daemon so far after each kind, in MB.
        before: What must stay as it is, before the inputs.
        touched: What did not.
        is_alive: Whether the same daemon answers at the end.
        log: The daemon's.
    """

    world: World
    pid: int = 0
    inputs: int = 0
    faults: list[str] = field(default_factory=list[str])
    slowest: tuple[float, str] = (0.0, "")
    waits: int = 0
    peaks: dict[str, float] = field(default_factory=dict[str, float])
    before: dict[str, str] = field(default_factory=dict[str, str])
    touched: list[str] = field(default_factory=list[str])
    is_alive: bool = False
    log: str = ""
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    current: str = ""

    def note_memory(self, kind: str) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
        self.peaks[kind] = int(peak) / 1024

    def note_answer(self, text: str, *, is_error: bool) -> None:
        """Keep what is wrong with an answer."""
        match = FORBIDDEN.search(text)
        if match is not None:
            self.faults.append(f"{self.current}: {text[max(0, match.start() - 200) :][:500]}")
        elif is_error and len(text) > LONGEST_ERROR:
            self.faults.append(f"{self.current}: an error of {len(text)} characters: {text[:300]}")


async def besiege(root: Path) -> Siege:
    """Give every input; return what was seen."""
    answers = {one.slug: cast("JsonObject", one.input) for one in read_inputs("model_answers")}
    siege = Siege(World(root))
    async with hostile_models(answers) as address:
        siege.world.prepare(address)
        async with _client(siege.world) as client:
            await _make_project(siege, client)
            known = json.loads((siege.world.home / "daemon.json").read_text(encoding="utf-8"))
            siege.pid = known["pid"]
            siege.before = siege.world.untouched()
            over = threading.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, partial(_ask_meanwhile, siege, over))
                try:
                    for kind in KINDS:
                        await _give_kind(siege, client, kind)
                    await _give_archives(siege, client)
                    await _give_work_orders(siege, client)
                    await _give_requests(siege)
                finally:
                    over.set()
        await _look_around(siege)
    return siege


# ------------------------------------------------------------ the clients


@asynccontextmanager
async def _client(world: World) -> AsyncGenerator[Client]:
    stdio = StdioServerParameters(
        command=sys.executable, args=["-c", BRIDGE], env=world.environment
    )
    async with Client(stdio, mode="legacy", elicitation_callback=agree) as client:
        yield client


async def _call(siege: Siege, client: Client, tool: str, arguments: JsonObject) -> str:
    """Call a tool, look at its answer, and return the text."""
    if not _can_be_sent(arguments):
        return await _call_by_hand(siege, tool, arguments)
    with anyio.move_on_after(CALL_WITHIN_S) as scope:
        try:
            answer = await client.call_tool(tool, arguments)
        except MCPError as error:
            text, is_error = str(error), True
        else:
            blocks = [b.text for b in answer.content if isinstance(b, types.TextContent)]
            structured = json.dumps(answer.structured_content or {}, ensure_ascii=False)
            is_error = bool(answer.is_error)
            text = "\n".join([*blocks, *([] if is_error else [structured])])
        siege.note_answer(text, is_error=is_error)
        return text
    assert scope.cancelled_caught
    siege.faults.append(f"{siege.current}: {tool} took longer than {CALL_WITHIN_S} s")
    return ""


def _can_be_sent(arguments: JsonObject) -> bool:
    """Whether the client's library sends them: it takes no half characters."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


async def _call_by_hand(siege: Siege, tool: str, arguments: JsonObject) -> str:
    """Call a tool as a client does that writes whatever it is told."""
    daemon = Daemon(siege.world.home)
    daemon.find()
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    text = json.dumps(body).encode()

    def send() -> str:
        address = daemon.address
        with Exchange(address, "POST", "/mcp", headers, text, within_s=CALL_WITHIN_S) as exchange:
            exchange.send()
            return b"".join(exchange.messages()).decode("utf-8", "replace")

    answer = await anyio.to_thread.run_sync(send)
    siege.note_answer(answer, is_error=True)
    return answer


def _ask_meanwhile(siege: Siege, over: threading.Event) -> None:
    """Be the second client, with an event loop of its own, until it is over."""

    async def ask() -> None:
        calm = str(siege.world.projects / "made")
        async with _client(siege.world) as client:
            while not over.is_set():
                tool = ("describe_project", "find", "check_job")[siege.waits % 3]
                began = time.monotonic()
                about = {} if tool == "check_job" else {"project": calm}
                answer = await client.call_tool(tool, about)
                waited = time.monotonic() - began
                siege.slowest = max(siege.slowest, (waited, f"{siege.current}, {tool}"))
                siege.waits += 1
                assert not answer.is_error, answer.content
                await anyio.sleep(0.05)

    anyio.run(ask)


async def _make_project(siege: Siege, client: Client) -> None:
    """Make the project that the inputs are given to copies of."""
    siege.current = "the project"
    project = str(siege.world.projects / "made")

    async def make(tool: str, **arguments: JsonValue) -> None:
        answer = await client.call_tool(tool, {"project": project, **arguments})
        assert not answer.is_error, answer.content

    answer = await client.call_tool("create_project", {"name": "Calm", "folder": project})
    assert not answer.is_error, answer.content
    await make("create_project", task="T", instruction="Answer.")
    items: JsonValue = [
        {"input": text, "output": "x", "tags": ["test", "golden"]}
        for text in ("a" * 40 + "!", '{"x": "yes"}')
    ]
    await make("add_data", task="T", items=items)
    await make("create_run_config", name="echo", prompt="Repeat.")
    new: JsonValue = {"test_filter": "tag::test", "golden_filter": "tag::golden"}
    evaluator: JsonValue = {"type": "exact_match", "reference_key": "reference_answer"}
    await make("create_evaluator", eval="Right", **evaluator, **new)
    evaluator = {
        "type": "exact_match",
        "expected_value": "yes",
        "value_expression": "(final_message|fromjson).x",
    }
    await make("create_evaluator", eval="Structured", **evaluator, **new)


# ------------------------------------------------------------ the inputs


async def _give_kind(siege: Siege, client: Client, kind: str) -> None:
    """Give the inputs of one file; those that change the project get a copy of their own."""
    began = time.monotonic()
    shared = siege.world.copy_project(kind)
    for number, one in enumerate(read_inputs(kind)):
        project = siege.world.copy_project(f"{kind}-{number}") if one.changes else shared
        await _give(siege, client, one, project)
    _end_kind(siege, kind, began)


async def _give(siege: Siege, client: Client, one: HostileInput, project: Path) -> None:
    siege.current = f"{one.kind}: {one.name}"
    siege.inputs += 1
    slots = {**siege.world.slots(project), "name": one.name[:32], "slug": one.slug}
    slots["input"] = fill(one.input, slots)
    for change in one.changes:
        filled = cast("JsonObject", fill(change, slots))
        await anyio.to_thread.run_sync(apply_change, project, filled)
    text = ""
    for tool, arguments in one.calls:
        text = await _call(siege, client, tool, cast("JsonObject", fill(arguments, slots)))
    if one.answer and not re.search(one.answer, text):
        siege.faults.append(f"{siege.current}: not {one.answer!r}: {text[:500]}")


def _end_kind(siege: Siege, kind: str, began: float) -> None:
    siege.seconds[kind] = time.monotonic() - began
    siege.note_memory(kind)


async def _give_archives(siege: Siege, client: Client) -> None:
    began = time.monotonic()
    for number, (name, (ending, build)) in enumerate(ARCHIVES.items()):
        siege.current = f"archives: {name}"
        siege.inputs += 1
        file = siege.world.files / f"{number}.{ending}"
        await anyio.to_thread.run_sync(build, file, siege.world.person)
        folder = str(siege.world.projects / f"archive-{number}")
        await _call(siege, client, "create_project", {"copy_from": str(file), "folder": folder})
        if (siege.world.projects / f"archive-{number}").exists():
            await _call(siege, client, "describe_project", {"project": folder})
    _end_kind(siege, "archives", began)


async def _give_work_orders(siege: Siege, client: Client) -> None:
    """Answer orders of an eval that asks the client's own model."""
    began = time.monotonic()
    project = str(siege.world.copy_project("work_orders"))
    host: JsonValue = {"name": "host", "prompt": "Answer.", "model": "host"}
    await _call(siege, client, "create_run_config", {"project": project, **host})
    for one in read_inputs("work_orders"):
        siege.current = f"work_orders: {one.name}"
        siege.inputs += 1
        item: JsonValue = {"input": one.name, "output": "x", "tags": ["test"]}
        await _call(siege, client, "add_data", {"project": project, "items": [item]})
        started: JsonObject = {"project": project, "eval": "Structured", "run_configs": ["host"]}
        text = await _call(siege, client, "run_eval", {**started, "wait_s": 0})
        job = json.loads(text.splitlines()[-1]).get("job", "")
        if not await _answer_orders(siege, client, job, one.input):
            siege.faults.append(f"{siege.current}: no order came: {text[:500]}")
    _end_kind(siege, "work_orders", began)


async def _answer_orders(siege: Siege, client: Client, job: str, answer: JsonValue) -> int:
    """Answer a job's orders until it is at rest; return how many came."""
    wrong: JsonObject = {"id": "../../x", "answer": answer}
    await _call(siege, client, "answer_work_orders", {"answers": [wrong]})
    came = 0
    with anyio.move_on_after(CALL_WITHIN_S) as scope:
        is_open = True
        while is_open:
            orders = await take_orders(client)
            answers: list[JsonObject] = [{"id": order.id, "answer": answer} for order in orders]
            if answers:
                came += len(answers)
                await _call(siege, client, "answer_work_orders", {"answers": [*answers]})
                plain: JsonValue = [{"id": one["id"], "answer": "x"} for one in answers]
                # One that was refused stays ours, and its job would wait for it.
                await _call(siege, client, "answer_work_orders", {"answers": plain})
            waited = await client.call_tool("check_job", {"job": job, "seconds": 0.2})
            report: Mapping[str, Any] = waited.structured_content or {}
            is_open = report.get("state") in {"waiting", "running"}
    if scope.cancelled_caught:
        siege.faults.append(f"{siege.current}: the job did not end in {CALL_WITHIN_S} s")
        await _call(siege, client, "stop_job", {"job": job})
    return came


async def _give_requests(siege: Siege) -> None:
    began = time.monotonic()
    known: Mapping[str, Any] = json.loads(
        (siege.world.home / "daemon.json").read_text(encoding="utf-8")
    )
    local = f"Host: 127.0.0.1:{known['port']}\r\nConnection: close\r\n"
    slots: dict[str, JsonValue] = {
        "local": local,
        "known": f"{local}Authorization: Bearer {known['token']}\r\n",
        "json": "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n",
        "evil": str(siege.world.tools / "evil"),
    }
    for one in read_inputs("http_requests"):
        siege.current = f"http_requests: {one.name}"
        siege.inputs += 1
        request = cast("Mapping[str, str]", fill(one.input, slots))
        body = request["body"].encode("latin-1")
        head = f"{request['head']}Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
        raw = partial(_send, int(known["port"]), head + body)
        text = (await anyio.to_thread.run_sync(raw)).decode("utf-8", "replace")
        siege.note_answer(text, is_error=True)
        if not re.search(one.answer, text):
            siege.faults.append(f"{siege.current}: not {one.answer!r}: {text[:500]}")
    _end_kind(siege, "http_requests", began)


def _send(port: int, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the connection is closed."""
    reply = b""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while more := connection.recv(65_536):
                reply += more
    return reply


async def _look_around(siege: Siege) -> None:
    """Look at what is left, and end the daemon."""
    daemon = Daemon(siege.world.home)
    known = json.loads((siege.world.home / "daemon.json").read_text(encoding="utf-8"))
    daemon.find()
    siege.is_alive = known["pid"] == siege.pid and daemon.is_healthy()
    with Exchange(daemon.address, "POST", "/stop", {}, b"") as exchange:
        exchange.send()
    after = siege.world.untouched()
    siege.touched = sorted(
        path for path in {*siege.before, *after} if siege.before.get(path) != after.get(path)
    )
    siege.log = (siege.world.home / "daemon.log").read_text(encoding="utf-8", errors="replace")
