"""kiln-chat in a window of tmux: what a person types and sees."""

import os
import shlex
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from chat_programs import ChatPrograms


@dataclass
class Tmux:
    """One tmux server with one window.

    Attributes:
        socket: Its socket.
    """

    socket: Path

    def run(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def type(self, line: str) -> None:
        self.run("send-keys", "-l", line)
        self.run("send-keys", "Enter")

    def text(self) -> str:
        """Return all lines, those that left the window first."""
        return self.run("capture-pane", "-p", "-S", "-")

    async def until(self, text: str) -> None:
        await self._until(lambda: text in self.text())

    async def until_at_end(self, text: str) -> None:
        """Wait until a text stands in the last two lines, where questions are."""
        await self._until(lambda: text in "\n".join(self.text().rstrip().splitlines()[-2:]))

    async def until_count(self, text: str, count: int) -> None:
        """Wait until a text stands there so many times."""
        await self._until(lambda: self.text().count(text) == count)

    async def until_gone(self, text: str) -> None:
        await self._until(lambda: text not in self.text())

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - tmux tells nobody what it shows
            await anyio.sleep(0.3)


@asynccontextmanager
async def window_of(programs: ChatPrograms, columns: int, rows: int) -> AsyncGenerator[Tmux]:
    """Run kiln-chat in a window against the models of its programs."""
    tmux = Tmux(programs.home.parent / "tmux")
    names = ("KILN_MCP_HOME", "KILN_MCP_DAEMON", "PYTHONPATH", *programs.environment)
    own = {name: programs.variables()[name] for name in names}
    words = shlex.join(["env", *(f"{name}={value}" for name, value in own.items())])
    command = f"{words} {shlex.join(programs.command())}; echo ended with $?; sleep 600"
    shell = f"cd {shlex.quote(str(programs.home.parent))}; {command}"
    size = ("-x", str(columns), "-y", str(rows))
    await anyio.to_thread.run_sync(tmux.run, "-f", os.devnull, "new-session", "-d", *size, shell)
    try:
        await tmux.until("mode ask")
        yield tmux
    finally:
        tmux.run("kill-server")


async def agree_until(window: Tmux, text: str) -> None:
    """Answer yes to every question, and leave out every field of a form, until a text is there."""
    while text not in (shown := window.text()):
        *_, prompt, _ = ["", "", *shown.rstrip().splitlines()]
        if prompt.startswith("Go ahead?"):
            window.run("send-keys", "y", "Enter")
        elif prompt.startswith(("Answer (", "Or in your own words (")):
            window.run("send-keys", "Enter")
        await anyio.sleep(0.5)
