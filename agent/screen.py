"""What the person sees and types: a rich terminal, or plain lines where there is none."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from rich.console import Console
from rich.text import Text

from agent.fencing import printable
from agent.messages import ToolCall
from agent.tools import ToolResult

_SHORT = 160


class LineReader(Protocol):
    """Reads what the person types."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        ...


class PlainReader:
    """Reads lines from standard input, where it is no terminal."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        text = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return text.rstrip("\n") if text else None


class TerminalReader:
    """Reads lines from a terminal: arrow keys, search with Ctrl-R, what was typed before."""

    def __init__(self, history: Path) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at Ctrl-D."""
        try:
            return await self._session.prompt_async(prompt)
        except EOFError:
            return None


@dataclass(slots=True)
class Screen:
    """Shows the conversation and asks the person.

    Attributes:
        console: Where it is shown.
        reader: How the person answers.
    """

    console: Console
    reader: LineReader
    _in_line: bool = field(default=False)

    def write(self, text: str) -> None:
        """Show a piece of the model's text."""
        self.console.print(printable(text), end="", markup=False, highlight=False, soft_wrap=True)
        self._in_line = not text.endswith("\n")

    def say(self, text: str, style: str = "") -> None:
        """Show a line of our own."""
        self._end_line()
        self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def call_began(self, call: ToolCall) -> None:
        """Show that a tool is being called."""
        self.say(f"→ {call.name} {_short(call.arguments)}", "cyan")

    async def call_advanced(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        """Show how far a tool is; only where lines can be written over."""
        if self.console.is_terminal:
            share = f"{progress:g}/{total:g}" if total else f"{progress:g}"
            self.console.print(
                Text(f"  {share} {_short(printable(message or ''))}", "dim"),
                end="\r",
                soft_wrap=True,
            )

    def call_ended(self, call: ToolCall, result: ToolResult) -> None:
        """Show what a tool answered, in short."""
        first, _, _ = result.text.partition("\n")
        mark, style = ("✗", "red") if result.failed else ("✓", "green")
        self.say(f"{mark} {call.name}: {_short(first)}", style)

    async def agree(self, plan: str) -> bool:
        """Put a plan to the person; anything but yes is no."""
        self.say(plan, "bold yellow")
        answer = await self.reader.line("Go ahead? [y/N] ")
        return answer is not None and answer.strip().casefold() in {"y", "yes"}

    async def ask(self) -> str | None:
        """Return what the person says next; None at the end."""
        self._end_line()
        return await self.reader.line("you> ")

    def _end_line(self) -> None:
        if self._in_line:
            self.console.print()
            self._in_line = False


def screen_of_this_process(home: Path) -> Screen:
    """Return the terminal that this process runs in, or plain lines where there is none."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return Screen(Console(), TerminalReader(home / "chat-history"))
    return Screen(Console(color_system=None, force_terminal=False, width=4000), PlainReader())


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
