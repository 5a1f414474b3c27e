"""kiln-chat as a program of its own: its model and the workbench's on one loopback server."""

import json
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from aiohttp import web

from chat_server import serve_chat
from counted_process import python_command
from kiln_mcp.doors.bridge import Daemon, Exchange
from kiln_mcp.llm import Message, ModelRequest
from scripted_chat_server import chunk, pieces

ROOT = Path(__file__).parents[2]
TALKER = "talker"
CHAT = "from agent.program import main; main()"
Body = dict[str, Any]
Calls = Sequence[tuple[str, Mapping[str, object]]]


@dataclass(frozen=True)
class Unfinished:
    """An answer that begins with some text and never ends."""

    text: str


Step = str | Calls | Unfinished | Callable[[Body], Calls]
Worker = Callable[[ModelRequest], str]


@dataclass
class ModelServer:
    """Serves the model of the chat by a script, and others by functions.

    Attributes:
        script: The answers of the chat's model, in order; "Done." after the last one.
        workers: The other models.
        requests: What the chat's model was sent.
        asked: How often each of the others got the same question.
        address: Where it is.
    """

    script: Sequence[Step]
    workers: Mapping[str, Worker] = field(default_factory=dict[str, Worker])
    requests: list[Body] = field(default_factory=list[Body])
    asked: Counter[str] = field(default_factory=Counter[str])
    address: str = ""
    pause_s: float = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["model"] != TALKER:
            return await self._work(body)
        step = self.script[len(self.requests)] if len(self.requests) < len(self.script) else "Done."
        self.requests.append(body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if isinstance(step, Unfinished):
            await response.write(chunk({"content": step.text}))
            await anyio.sleep_forever()
        for part in pieces(step(body) if callable(step) else step):
            await response.write(part)
        usage = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}
        end = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": TALKER}
        last = json.dumps({**end, "choices": [], "usage": usage})
        await response.write(f"data: {last}\n\ndata: [DONE]\n\n".encode())
        return response

    async def _work(self, body: Body) -> web.Response:
        name = body["model"]
        messages = tuple(Message(m["role"], str(m["content"])) for m in body["messages"])
        self.asked[json.dumps([name, body["messages"], body.get("seed")])] += 1
        await anyio.sleep(self.pause_s)
        form = body.get("response_format", {}).get("json_schema", {})
        asked = ModelRequest(name, messages, schema=form.get("schema"))
        message = {"role": "assistant", "content": self.workers[name](asked)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": name}
        return web.json_response({**head, "choices": [choice], "usage": usage})


@dataclass
class ChatPrograms:
    """Starts kiln-chat in a home of its own.

    Attributes:
        home: The home.
        server: The models.
        environment: Further variables.
    """

    home: Path
    server: ModelServer
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def variables(self) -> dict[str, str]:
        """Return the environment of the program."""
        return {
            **os.environ,
            "KILN_MCP_HOME": str(self.home),
            "KILN_MCP_DAEMON": "off",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }

    def command(self, *words: str) -> list[str]:
        """Return the command line of the program."""
        model = ["--api-base", self.server.address, "--model", TALKER]
        return [*python_command(CHAT), *model, *words]

    @asynccontextmanager
    async def start(self, *words: str) -> AsyncGenerator[anyio.abc.Process]:
        """Start it, and kill it at the end if it still runs."""
        process = await anyio.open_process(
            self.command(*words), env=self.variables(), cwd=self.home.parent
        )
        async with process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()

    async def run(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        """Run it to its end; return its exit code, its output and its errors."""
        done = await anyio.run_process(
            self.command(*words),
            input=typed.encode(),
            env=self.variables(),
            cwd=self.home.parent,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def stop_daemon(self) -> None:
        """Stop the daemon of the home, if one runs."""
        running = Daemon(self.home)
        if running.is_running():
            with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
                exchange.send()

    @property
    def saved(self) -> str:
        """All that the saved chats hold."""
        files = (self.home / "chats").glob("*.jsonl")
        return "".join(file.read_text("utf-8") for file in files)

    @property
    def chats(self) -> list[str]:
        """The names of the saved chats."""
        return sorted(file.stem for file in (self.home / "chats").glob("*.jsonl"))


@asynccontextmanager
async def chat_programs(
    folder: Path,
    script: Sequence[Step],
    workers: Mapping[str, Worker] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    usd_per_million: float = 2.0,
    pause_s: float = 0.0,
) -> AsyncGenerator[ChatPrograms]:
    """Yield kiln-chat with a home, whose models cost money and are named `paid/...`."""
    server = ModelServer(script, workers or {}, pause_s=pause_s)
    async with serve_chat(server.answer) as address:
        server.address = address
        home = folder / "chat-home"
        home.mkdir(mode=0o700)
        prices = {
            "input_usd_per_million": usd_per_million,
            "output_usd_per_million": usd_per_million,
        }
        entry = {"name": "paid", "base_url": address, **prices}
        (home / "servers.json").write_text(json.dumps([entry]), encoding="utf-8")
        yield ChatPrograms(home, server, environment or {})
