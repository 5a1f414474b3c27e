"""A loopback model server that counts, and a clock that can be set."""

import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from aiohttp import web


@dataclass(slots=True)
class CountingServer:
    """An OpenAI-compatible server on the loopback that answers every request differently.

    Attributes:
        asked: The last message of every request, in the order of their arrival.
        at_once: The most requests that were on their way at the same time.
        latency_s: How long it thinks.
        address: Up to and including `/v1`.
    """

    questions: list[str] = field(default_factory=list[str])
    arrivals: list[float] = field(default_factory=list[float])
    at_once: int = 0
    latency_s: float = 0.02
    address: str = ""
    _open: int = 0
    _arrival: anyio.Event = field(default_factory=anyio.Event)

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = str(body["messages"][-1]["content"])
        self.questions.append(text)
        self.arrivals.append(anyio.current_time())
        self._open += 1
        self.at_once = max(self.at_once, self._open)
        self._arrival.set()
        self._arrival = anyio.Event()
        try:
            await anyio.sleep(self.latency_s)
        finally:
            self._open -= 1
        message = {"role": "assistant", "content": f"answer to {text}"}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def until_asked(self, count: int) -> None:
        """Wait until so many requests have arrived in all."""
        while len(self.questions) < count:
            await self._arrival.wait()


@pytest.fixture
async def counting() -> AsyncGenerator[CountingServer]:
    server = CountingServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    # The server must see that a killed client is gone, or the request counts as open for ever.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    server.address = f"http://127.0.0.1:{port}/v1"
    yield server
    await runner.cleanup()


@dataclass(frozen=True, slots=True)
class SettableClock:
    """The wall clock of other processes, set while they run, as a person or a time server does."""

    library: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the processes must be started with."""
        return {"LD_PRELOAD": str(self.library), "SETTABLE_CLOCK": str(self.file)}

    def jump(self, seconds: int) -> None:
        """Set the clock so far from the true time."""
        with self.file.open("r+b") as file:  # the processes have it in their memory
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@pytest.fixture
def clock(tmp_path: Path) -> SettableClock:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for Linux")
    created = SettableClock(tmp_path / "settable_clock.so", tmp_path / "clock")
    source = Path(__file__).with_name("settable_clock.c")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(created.library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    created.file.write_bytes(bytes(8))
    return created
