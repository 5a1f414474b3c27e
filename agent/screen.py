"""What the person sees: a rich terminal, or plain lines where there is none."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.status import Status
from rich.text import Text

from agent.approval import Reply
from agent.fences import printable
from agent.markdown import cut
from agent.messages import ToolCall
from agent.reader import LineReader
from agent.tools import ToolResult

_SHORT = 160


@dataclass(slots=True)
class Screen:
    """Shows the conversation and asks the person.

    Attributes:
        console: Where it is shown.
        reader: How the person answers.
    """

    console: Console
    reader: LineReader
    _moving: Live | Status | None = field(default=None)
    _growing: str = field(default="")
    _in_line: bool = field(default=False)

    def write(self, text: str) -> None:
        """Show a piece of the model's text: whole blocks for good, the last one as it grows."""
        text = printable(text)
        if not self.console.is_terminal:
            self.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
            self._in_line = not text.endswith("\n")
            return
        blocks = cut(self._growing + text)
        self._growing = blocks.growing
        live = self._moving
        if not isinstance(live, Live):
            self._settle_moving()
            live = self._moving = Live(
                console=self.console, transient=True, vertical_overflow="ellipsis"
            )
            live.start()
        for block in blocks.whole:
            self.console.print(Markdown(block))
        live.update(Markdown(blocks.growing), refresh=True)

    def say(self, text: str, style: str = "") -> None:
        """Show a line of our own."""
        self.settle()
        self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def wait(self, what: str) -> None:
        """Show that something is being waited for; only where it can be taken away again."""
        if not self.console.is_terminal:
            return
        shown = Text(_short(printable(what)), "dim")
        if isinstance(self._moving, Status):
            self._moving.update(shown)
            return
        self.settle()
        self._moving = self.console.status(shown)
        self._moving.start()

    def call_began(self, call: ToolCall) -> None:
        """Show that a tool is being called."""
        self.say(f"→ {call.name} {_short(call.arguments)}", "cyan")
        self.wait(call.name)

    async def call_advanced(
        self, progress: float, total: float | None, message: str | None
    ) -> None:
        """Show how far a tool is."""
        share = f"{progress:g}/{total:g}" if total else f"{progress:g}"
        self.wait(f"{share} {message or ''}")

    def call_ended(self, call: ToolCall, result: ToolResult) -> None:
        """Show what a tool answered, in short."""
        first, _, _ = result.text.partition("\n")
        mark, style = ("✗", "red") if result.failed else ("✓", "green")
        self.say(f"{mark} {call.name}: {_short(first)}", style)

    async def agree(self, plan: str) -> Reply:
        """Put a plan to the person; any line but yes is no, and no line is no answer."""
        self.say(plan, "bold yellow")
        answer = await self.reader.answer("Go ahead? [y/N] ")
        if answer is None:
            self.say("Not answered.", "dim")
            return "cancel"
        agreed = answer.strip().casefold() in {"y", "yes"}
        self.say("Agreed." if agreed else "Not agreed.", "dim")
        return "accept" if agreed else "decline"

    async def ask(self) -> str | None:
        """Return what the person says next; None at the end."""
        self.settle()
        return await self.reader.line("you> ")

    def settle(self) -> None:
        """Let what is on the screen stay there: nothing moves any more, and a new line begins."""
        self._settle_moving()
        if self._growing:
            self.console.print(Markdown(self._growing))
            self._growing = ""
        if self._in_line:
            self.console.print()
            self._in_line = False

    def _settle_moving(self) -> None:
        if isinstance(self._moving, Live):
            self._moving.update(Text(""))
        if self._moving is not None:
            self._moving.stop()
            self._moving = None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
