"""A terminal that is emulated: what a person would see on it, and above it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TextIO, cast

import anyio
import pyte
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from agent.terminal.growing_block import GrowingBlock
from agent.terminal.painter import Painter
from agent.terminal.region import Region, RegionKeys, RegionTexts
from agent.terminal.surface import DrawnSurface, DrawnText


class EmulatedTerminal:
    """A screen of some size with all that has left it at the top.

    Attributes:
        watch: Called after everything that is written.
    """

    encoding = "utf-8"

    def __init__(self, rows: int, columns: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.5)
        self.stream = pyte.Stream(self.screen)
        self.watch: Callable[[], None] = lambda: None
        self.output = Vt100_Output(cast("TextIO", self), lambda: self.size, term="xterm-256color")

    def write(self, text: str) -> None:
        self.stream.feed(text)

    def flush(self) -> None:
        self.watch()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return -1

    @property
    def lines(self) -> list[str]:
        """All lines, those that left the screen first."""
        gone = [
            "".join(line[place].data for place in range(len(line)))
            for line in self.screen.history.top
        ]
        return [line.rstrip() for line in (*gone, *self.screen.display)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Desk:
    """A person's place at an emulated terminal.

    Attributes:
        terminal: What they see.
        keys: Their keyboard.
        region: The region at the bottom.
        surface: What is written above it.
        interrupts: How often Ctrl-C reached the program.
    """

    terminal: EmulatedTerminal
    keys: PipeInput
    region: Region
    surface: DrawnSurface
    interrupts: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def desk(rows: int, columns: int) -> AsyncGenerator[Desk]:
    """Run a region on an emulated terminal."""
    terminal = EmulatedTerminal(rows, columns)
    painter = Painter("standard")
    drawn = DrawnText(GrowingBlock(painter))
    pressed: list[str] = []
    with create_pipe_input() as keys:
        region = Region(
            RegionTexts(drawn.live, drawn.wait, lambda columns: "scripted · $0.01"[:columns]),
            RegionKeys(lambda: pressed.append("interrupt"), lambda: pressed.append("expand")),
            InMemoryHistory(),
            DummyCompleter(),
            (keys, terminal.output),
            wraps_on_resize=False,  # as pyte, whose lines are cut
        )
        surface = DrawnSurface(region, painter, drawn)
        surface.print("Chat one.")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(region.run)
                await until(lambda: "scripted" in terminal.text)
                yield Desk(terminal, keys, region, surface, pressed)
                region.end()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true; the test's deadline bounds it."""
    while not condition():  # noqa: ASYNC110 - a terminal tells nobody what it shows
        await anyio.sleep(0.005)
