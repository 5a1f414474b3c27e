"""The output for the person: a rich terminal, or plain lines without one."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.status import Status
from rich.text import Text

from agent.events import Reply
from agent.fences import printable
from agent.terminal.blocks import split_blocks
from agent.mcp_tools import ToolResult
from agent.reader import LineReader
from kiln_mcp.llm import ToolCall
from storage.text.excerpts import excerpt_line

_LONGEST_SUMMARY = 160


@dataclass(slots=True)
class Screen:
    """Shows the conversation and asks the person.

    Attributes:
        console: The terminal or stream that shows it.
        reader: Reads the person's answers.
    """

    console: Console
    reader: LineReader
    _animation: Live | Status | None = field(default=None)
    _open_block: str = field(default="")
    _in_line: bool = field(default=False)

    def write(self, text: str) -> None:
        """Show a piece of the model's text: finished blocks for good, the last one as it grows."""
        text = printable(text)
        if not self.console.is_terminal:
            self.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
            self._in_line = not text.endswith("\n")
            return
        blocks = split_blocks(self._open_block + text)
        self._open_block = blocks.open
        live = self._animation
        if not isinstance(live, Live):
            self._stop_animation()
            live = self._animation = Live(
                console=self.console, transient=True, vertical_overflow="ellipsis"
            )
            live.start()
        for block in blocks.finished:
            self.console.print(Markdown(block))
        live.update(Markdown(blocks.open), refresh=True)

    def say(self, text: str, style: str = "") -> None:
        """Show a line of the program itself."""
        self.settle()
        self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def show_wait(self, reason: str) -> None:
        """Show a spinner with the reason for a wait; on a terminal only."""
        if not self.console.is_terminal:
            return
        status = Text(excerpt_line(printable(reason), _LONGEST_SUMMARY), "dim")
        if isinstance(self._animation, Status):
            self._animation.update(status)
            return
        self.settle()
        self._animation = self.console.status(status)
        self._animation.start()

    def show_call(self, call: ToolCall) -> None:
        """Show that a tool is being called."""
        self.say(f"→ {call.name} {excerpt_line(call.arguments, _LONGEST_SUMMARY)}", "cyan")
        self.show_wait(call.name)

    async def show_progress(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        """Show the progress of a call."""
        share = f"{progress:g}/{total:g}" if total else f"{progress:g}"
        self.show_wait(f"{share} {message or ''}")

    def show_result(self, call: ToolCall, result: ToolResult) -> None:
        """Show the first line of a result."""
        first, _, _ = result.text.partition("\n")
        mark, style = ("✗", "red") if result.failed else ("✓", "green")
        self.say(f"{mark} {call.name}: {excerpt_line(first, _LONGEST_SUMMARY)}", style)

    async def agree(self, plan: str) -> Reply:
        """Put a plan to the person: any line but yes declines it, and no line leaves it open."""
        self.say(plan, "bold yellow")
        answer = await self.reader.answer("Go ahead? [y/N] ")
        if answer is None:
            self.say("Not answered.", "dim")
            return "cancel"
        agrees = answer.strip().casefold() in {"y", "yes"}
        self.say("Agreed." if agrees else "Not agreed.", "dim")
        return "accept" if agrees else "decline"

    async def next_line(self) -> str | None:
        """Return the person's next line; None at the end."""
        self.settle()
        return await self.reader.line("you> ")

    def settle(self) -> None:
        """Keep what is on the screen: stop the animation and begin a new line."""
        self._stop_animation()
        if self._open_block:
            self.console.print(Markdown(self._open_block))
            self._open_block = ""
        if self._in_line:
            self.console.print()
            self._in_line = False

    def _stop_animation(self) -> None:
        if isinstance(self._animation, Live):
            self._animation.update(Text(""))
        if self._animation is not None:
            self._animation.stop()
            self._animation = None
