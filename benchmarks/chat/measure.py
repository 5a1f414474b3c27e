"""What a talk costs beside its model: kiln-chat, Codex and Claude Code on one scripted server.

Each program is started as a person starts it, with the workbench as its MCP server, and plays the
same session: the model calls a tool that reads, again and again, and then speaks. Measured are the
seconds from the start of the program to its first request, the milliseconds between two requests
(the answer of the model takes none), and the processor time of the program without the daemon.
For kiln-chat alone: how long a piece of text takes from the server to standard output, and how
long a chat of 1,000 messages takes to open.

    npm install --prefix build/clients @openai/codex @anthropic-ai/claude-code
    python benchmarks/chat/measure.py build/clients --runs 3
"""

import argparse
import asyncio
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]
from agent.chat_history import Chats, Secrets  # noqa: E402
from agent.chat_lines import MessageLine  # noqa: E402
from assistant_programs import MODEL, PROGRAMS  # noqa: E402
from assistant_script import Step  # noqa: E402
from assistant_server import Assistant, assistant_server  # noqa: E402
from chat_server import serve_chat  # noqa: E402
from kiln_mcp.doors.clients.client_files import Launch  # noqa: E402
from kiln_mcp.llm import Message  # noqa: E402
from person_home import stop_daemon  # noqa: E402

OURS = "kiln-chat"
ROUNDS = 20
STEP = Step("check_job", {"count": 1})
PIECES = 50
WITHIN_S = 180


def own_line(address: str) -> list[str]:
    """Return the command line of kiln-chat."""
    program = str(Path(sys.executable).with_name("kiln-chat"))
    return [program, "--api-base", f"{address}/v1", "--model", MODEL]


async def play(name: str, packages: Path, node: str, home: Path) -> tuple[float, float, float]:
    """Play a session; return seconds to the first request, ms a round, and CPU seconds."""
    assistant = Assistant([STEP] * ROUNDS)
    settings = (("KILN_MCP_HOME", str(home / "kiln")),)
    async with assistant_server(assistant) as address:
        if name == OURS:
            line, environment = own_line(address), {**os.environ, **dict(settings)}
        else:
            program = PROGRAMS[name]
            command = str(Path(sys.executable).with_name("kiln-mcp"))
            program.prepare(home, address, Launch(command, (), settings))
            line = program.line(packages, node)
            environment = program.environment(home, address, node)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        await run(line, home, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = [at for at, _ in assistant.requests]
    if len(times) < ROUNDS:
        raise SystemExit(f"{name} sent {len(times)} requests; see {home / 'printed.txt'}")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return times[0] - started, 1000 * statistics.median(gaps), cpu_s


async def run(command: Sequence[str], home: Path, environment: Mapping[str, str]) -> None:
    """Run a program to its end, with one line of a person on standard input."""
    with (home / "printed.txt").open("ab") as printed:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=home / "work",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
        )
        await asyncio.wait_for(process.communicate(b"Go.\n"), WITHIN_S)


async def passing_on(home: Path) -> list[float]:
    """Return the ms that each piece of an answer takes from the server to standard output."""

    async def chat(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(PIECES):
            await response.write(sse({"content": f"at {time.monotonic():.6f}\n"}))
            await asyncio.sleep(0.02)
        await response.write(sse({}, "stop") + b"data: [DONE]\n\n")
        return response

    delays: list[float] = []
    async with serve_chat(chat) as address:
        process = await asyncio.create_subprocess_exec(
            *own_line(address.removesuffix("/v1")),
            env={**os.environ, "KILN_MCP_HOME": str(home / "kiln"), "PYTHONUNBUFFERED": "1"},
            cwd=home / "work",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Go.\n")
        process.stdin.write_eof()
        while text := await process.stdout.readline():
            words = text.decode().split()
            if words[:1] == ["at"]:
                delays.append(1000 * (time.monotonic() - float(words[1])))
        await process.wait()
    return delays


def sse(delta: Mapping[str, object], finish: str | None = None) -> bytes:
    """Return a piece of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n".encode()


async def opening(folder: Path) -> float:
    """Return the ms in which a chat of 1,000 messages is read."""
    texts = [f"message {number}: " + "some words " * 60 for number in range(1000)]
    roles = ("user", "assistant")
    lines = [
        MessageLine.of(Message(roles[number % 2], text)).to_bytes()
        for number, text in enumerate(texts)
    ]
    (folder / "long.jsonl").write_bytes(b"".join(lines))
    started = time.monotonic()
    assert len(await Chats(folder, Secrets({})).read("long")) == 1000
    return 1000 * (time.monotonic() - started)


def new_home(folder: str) -> Path:
    """Make a home and a working folder."""
    home = Path(folder)
    (home / "kiln").mkdir(mode=0o700)
    (home / "work").mkdir()
    return home


async def measure(arguments: argparse.Namespace) -> None:
    """Play each program's sessions, the first one without a daemon, and print a table."""
    print(f"{'program':12}{'run':>6}{'first s':>10}{'round ms':>10}{'cpu s':>8}")
    for name in arguments.clients:
        with tempfile.TemporaryDirectory() as folder:
            home = new_home(folder)
            for number in range(arguments.runs):
                first_s, round_ms, cpu_s = await play(
                    name, arguments.packages.absolute(), arguments.node, home
                )
                kind = "cold" if number == 0 else "warm"
                print(f"{name:12}{kind:>6}{first_s:>10.2f}{round_ms:>10.1f}{cpu_s:>8.2f}")
            if name == OURS:
                delays = await passing_on(home)
                print(
                    f"a piece of text: first {delays[0]:.1f} ms, median "
                    f"{statistics.median(delays):.1f} ms, most {max(delays):.1f} ms"
                )
                chats = [await opening(home) for _ in range(3)]
                print(f"a chat of 1,000 messages: {min(chats):.0f} ms")
            await asyncio.to_thread(stop_daemon, home)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="the folder that holds node_modules")
    parser.add_argument(
        "--clients", nargs="+", choices=[OURS, *PROGRAMS], default=[OURS, "codex", "claude-code"]
    )
    parser.add_argument("--node", default=shutil.which("node") or "node")
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
