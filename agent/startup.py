"""The session of kiln-chat, opened: its surface, its reader and its conversation."""

import os
import sys
from dataclasses import dataclass

import anyio

from agent.chat_setup import ChatOptions, open_chat
from agent.session import Session
from agent.terminal.front import Front
from agent.terminal.line_source import LineSource
from agent.terminal.painter import Painter
from agent.terminal.palette import can_draw, color_system
from agent.terminal.quiet_stderr import stderr_in
from agent.terminal.readers import PlainReader
from agent.terminal.surface import PLAIN_COLUMNS, DrawnSurface, DrawnText, PlainSurface
from agent.terminal.view import EventView
from storage.errors import WorkbenchError

DONE = 0
FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C twice: 128 + SIGINT."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session is opened.

    Attributes:
        chat: How its conversation is opened.
        has_api_base: Whether model names are those of the --api-base server.
        is_plain: Whether a terminal shows plain lines: for a reader that speaks.
    """

    chat: ChatOptions
    has_api_base: bool = False
    is_plain: bool = False


async def run_session(options: SessionOptions) -> int:
    """Run one session; return its exit code."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if is_terminal and can_draw(os.environ) and not options.is_plain:
        with stderr_in(options.chat.home / "chat-errors.log"):
            return await _run_drawn(options)
    return await _run_plain(options, is_terminal=is_terminal)


async def _run_plain(options: SessionOptions, *, is_terminal: bool) -> int:
    columns = os.get_terminal_size().columns if is_terminal else PLAIN_COLUMNS
    surface = PlainSurface(
        sys.stdout, Painter(None, escapes=False), max(20, columns), whole_lines=is_terminal
    )
    reader = PlainReader(surface, LineSource(), is_person=sys.stdin.isatty())
    front = Front(EventView(surface, has_boxes=False), reader)
    code = FAILED
    async with open_chat(options.chat, front) as chat:
        session = Session(front, chat, options.has_api_base)
        if is_terminal:
            _greet(session, options)
        code = await _run(session, options)
    return code  # noqa: RET504 - a context may end the block early


async def _run_drawn(options: SessionOptions) -> int:
    terminal = _DrawnTerminal(options)
    name = options.chat.model or "no model yet"
    terminal.front.say(f"kiln-chat with {name}. /help lists the commands.", "person")
    terminal.surface.wait("starting the workbench")
    code = INTERRUPTED
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(terminal.region.run)
        with terminal.opening:
            try:
                async with open_chat(options.chat, terminal.front) as chat:
                    terminal.surface.wait("")
                    session = terminal.session = Session(terminal.front, chat, options.has_api_base)
                    _greet(session, options)
                    code = await _run(session, options)
            finally:
                terminal.surface.settle()
                terminal.region.end()
    return code


class _DrawnTerminal:
    """A drawn terminal before its session exists: the session's questions go there."""

    def __init__(self, options: SessionOptions) -> None:
        # Lines of a pipe need none of these, which take a tenth of the start.
        from agent.terminal.growing_block import GrowingBlock
        from agent.terminal.region import Region, RegionKeys, RegionTexts
        from agent.terminal.region_reader import MaskedHistory, RegionReader, WordCompleter

        painter = Painter(color_system(os.environ))
        drawn = DrawnText(GrowingBlock(painter))
        self.session: Session | None = None
        self.opening = anyio.CancelScope()
        self.region = Region(
            RegionTexts(drawn.live, drawn.wait, lambda columns: self.view.status.line(columns)),
            RegionKeys(self._interrupt, self._expand),
            MaskedHistory(options.chat.home / "chat-history", options.chat.secrets),
            WordCompleter(self),
            wraps_on_resize="XTERM_VERSION" not in os.environ and os.environ["TERM"] != "linux",
        )
        self.surface = DrawnSurface(self.region, painter, drawn)
        self.view = EventView(self.surface)
        self.view.status.model, self.view.status.mode = options.chat.model, options.chat.mode
        self.front = Front(self.view, RegionReader(self.region))

    async def next_words(self, text: str) -> list[str]:
        """Return the words that may follow a text."""
        return list(await self.session.next_words(text)) if self.session else []

    def _interrupt(self) -> None:
        if self.session is None:
            self.opening.cancel()
        else:
            self.session.interrupt()

    def _expand(self) -> None:
        try:
            self.view.show_whole()
        except WorkbenchError as error:
            self.front.say(str(error), "muted")


async def _run(session: Session, options: SessionOptions) -> int:
    status = session.front.view.status
    status.model, status.mode = session.conversation.model.name, session.chat.approvals.mode
    if options.chat.resume is not None:
        session.show_resumed()
    await session.run()
    session.front.view.surface.settle()
    if session.front.reader.is_person and session.conversation.has_begun:
        _say_goodbye(session)
    return INTERRUPTED if session.was_interrupted else FAILED if session.failed else DONE


def _say_goodbye(session: Session) -> None:
    """Say how to go on with the chat, and what is left of its jobs."""
    session.front.say(f"kiln-chat --resume {session.chat.name} goes on here.", "muted")
    if jobs := session.conversation.running_jobs:
        session.front.say(
            f"Jobs under way: {', '.join(jobs)}. They go on without this window, or pause until "
            "the workbench runs again.",
            "muted",
        )


def _greet(session: Session, options: SessionOptions) -> None:
    if not session.front.view.has_boxes:
        name = options.chat.model or "no model yet"
        session.front.say(f"Chat {session.chat.name} with {name}. /help lists the commands.")
    if not options.chat.model:
        session.front.say(
            "Without a model the commands work: /spec, /label, /compare and more. "
            "Name one with /model provider/name to talk; /model embedded guides through menus."
        )
