"""kiln-chat on a terminal: a person at a keyboard, with Ctrl-C and Ctrl-D."""

import os
import select
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiohttp import web
from anyio.abc import Process

from counted_process import python_command

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

import fcntl
import struct
import termios

CHAT = """\
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from agent.program import main
main()
"""
SERVER = """\
import mcp_types as types
from mcp.server import MCPServer
server = MCPServer("small")
@server.tool(annotations=types.ToolAnnotations(destructive_hint=True))
def wipe() -> str:
    return "wiped"
server.run("stdio")
"""
CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"
LONGEST_S = 60.0


@dataclass
class Terminal:
    """The person's end of a pseudo-terminal."""

    descriptor: int
    seen: str = ""

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    async def until(self, text: str) -> None:
        """Read until a text is on the screen, and forget what came before its end."""
        await anyio.to_thread.run_sync(self._read_until, text)

    def _read_until(self, text: str) -> None:
        end = time.monotonic() + LONGEST_S
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} never came: {self.seen!r}"
            if select.select([self.descriptor], [], [], 0.2)[0]:
                self.seen += os.read(self.descriptor, 65536).decode(errors="replace")
                if "\x1b[6n" in self.seen:  # the program asks where the cursor is
                    self.seen = self.seen.replace("\x1b[6n", "")
                    self.press("\x1b[1;1R")
        self.seen = self.seen.partition(text)[2]


@asynccontextmanager
async def model_that_never_ends() -> AsyncGenerator[str]:
    released = anyio.Event()

    async def complete(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(
            b'data: {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", '
            b'"choices": [{"index": 0, "delta": {"content": "and so on"}, "finish_reason": null}]}'
            b"\n\n"
        )
        await released.wait()
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        released.set()
        await runner.cleanup()


async def at_the_keyboard(terminal: Terminal) -> None:
    await terminal.until("mode ask")
    terminal.press("/tools" + ENTER)
    await terminal.until("wipe (destroys)")
    terminal.press("/call wi\t")
    await terminal.until("pe")  # the rest of the tool's name
    terminal.press(ENTER)
    await terminal.until("Go ahead?")
    terminal.press(CTRL_C)
    await terminal.until("The person closed the question without an answer.")
    terminal.press("my key is very-secret-value" + ENTER)
    await terminal.until("and so on")
    terminal.press(CTRL_C)
    await terminal.until("Stopped.")
    terminal.press("half a line")
    await terminal.until("half a line")
    terminal.press(CTRL_C)


async def leave(terminal: Terminal, process: Process) -> None:
    """Press Ctrl-D until it is heard: a key is lost that comes while a new prompt is set up."""
    while process.returncode is None:
        terminal.press(CTRL_D)
        with anyio.move_on_after(1):
            await process.wait()


async def test_ctrl_c_stops_what_is_being_done_and_ctrl_d_ends(tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(SERVER, encoding="utf-8")
    home = tmp_path / "home"
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "KILN_MCP_HOME": str(home),
        "PYTHONPATH": root,
        "TERM": "xterm-256color",
        "MY_TOKEN": "very-secret-value",
    }
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    terminal = Terminal(ours)
    with anyio.fail_after(110):
        async with model_that_never_ends() as url:
            command = [*python_command(CHAT), "--model", "m", "--api-base", url]
            command += ["--server", f"{sys.executable} {server}"]
            async with await anyio.open_process(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=environment,
                start_new_session=True,
            ) as process:
                os.close(theirs)
                try:
                    await at_the_keyboard(terminal)
                    await leave(terminal, process)
                    assert process.returncode == 0
                finally:
                    if process.returncode is None:
                        process.kill()
    os.close(ours)
    files = [file.read_bytes() for file in home.rglob("*") if file.is_file()]
    kept = b"".join(files).decode(errors="replace")
    assert "my key is [MY_TOKEN]" in kept
    assert "very-secret-value" not in kept
