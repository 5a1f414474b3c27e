"""The region at the bottom of the terminal: what still grows, the input line, the status."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    CompletionsMenu,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar

from agent.terminal.region_renderer import RegionRenderer

MOST_LIVE_ROWS = 10
"""Rows of the text that still grows. The fewer, the less is left when a window gets lower."""
_OTHER_ROWS = 4
"""Rows kept for the input line, the status line, the wait line and the cursor."""
_MENU_ROWS = 7
_STYLE = Style.from_dict({"status": "reverse", "prompt": "bold", "wait": ""})


@dataclass(slots=True)
class _Question:
    """A question to the person.

    Attributes:
        prompt: What stands before the answer.
        keys: If the answer is one key: the keys, and the word for each.
        is_answered: Set with the answer.
        answer: The answer; None if it was closed.
    """

    prompt: str
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    is_answered: anyio.Event = field(default_factory=anyio.Event)
    answer: str | None = None

    def close(self, answer: str | None) -> None:
        if not self.is_answered.is_set():
            self.answer = answer
            self.is_answered.set()


@dataclass(frozen=True, slots=True)
class RegionTexts:
    """What the region shows beside the input line.

    Attributes:
        live: Returns the text that still grows, for columns and rows; with escape codes.
        wait: Returns the line that says what is waited for; empty for none.
        status: Returns the status line for a number of columns.
    """

    live: Callable[[int, int], str]
    wait: Callable[[], str]
    status: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class RegionKeys:
    """What happens at keys that no editor handles.

    Attributes:
        interrupt: Ctrl-C, if no question is open and no text is typed.
        expand: Ctrl-O: show the last result whole.
    """

    interrupt: Callable[[], None]
    expand: Callable[[], None]


class Region:
    """The region; what is written while it runs goes above it."""

    def __init__(
        self,
        texts: RegionTexts,
        keys: RegionKeys,
        history: History,
        completer: Completer,
        terminal: tuple[Input, Output] | None = None,
        *,
        wraps_on_resize: bool = True,
    ) -> None:
        self._texts = texts
        self._actions = keys
        self._lines: deque[str | None] = deque()
        self._has_line = anyio.Event()
        self._question: _Question | None = None
        self._prompt = "> "
        self._buffer = Buffer(
            history=history,
            completer=completer,
            multiline=False,
            accept_handler=self._take_line,
            enable_history_search=False,
        )
        self._answer = Buffer(multiline=False, accept_handler=self._take_answer)
        self._search = SearchToolbar()
        self._app = self._application(terminal)
        self._app.renderer = RegionRenderer(
            self._app.renderer.style, self._app.output, wraps_on_resize=wraps_on_resize
        )

    @property
    def columns(self) -> int:
        """The columns of the terminal."""
        return self._app.output.get_size().columns

    @property
    def rows(self) -> int:
        """The rows of the terminal."""
        return self._app.output.get_size().rows

    async def run(self) -> None:
        """Draw the region and read keys until `end` is called."""
        await self._app.run_async(handle_sigint=False, set_exception_handler=False)

    def end(self) -> None:
        """Take the region away for good."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit()

    def write(self, text: str) -> None:
        """Write finished lines above the region, for good."""
        output = self._app.output
        if self._app.is_running:
            self._app.renderer.erase()
        output.write_raw(text.replace("\n", "\r\n"))
        output.flush()
        self.refresh()

    def refresh(self) -> None:
        """Draw the region again soon."""
        self._app.invalidate()

    async def line(self) -> str | None:
        """Return the next line that was typed; None at Ctrl-D."""
        while not self._lines:
            await self._has_line.wait()
            self._has_line = anyio.Event()
        return self._lines.popleft()

    def has_lines(self) -> bool:
        """Return whether lines wait to be read."""
        return bool(self._lines)

    async def ask(self, prompt: str) -> str | None:
        """Return the line that answers a question; None if it was closed.

        What was being typed stays where it is, so that it answers nothing.
        """
        return await self._put(_Question(prompt))

    async def press(self, prompt: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that was pressed; None if the question was closed.

        Args:
            prompt: The question.
            keys: The name of each key, and its word.
        """
        return await self._put(_Question(prompt, keys))

    def insert(self, text: str) -> None:
        """Put a text into the input line, to be changed and sent by the person."""
        self._buffer.text = text
        self._buffer.cursor_position = len(text)

    async def _put(self, question: _Question) -> str | None:
        self._question = question
        self._answer.reset()
        self._app.layout.focus(self._answer)
        self.refresh()
        try:
            await question.is_answered.wait()
        finally:
            self._question = None
            self._app.layout.focus(self._buffer)
            self.refresh()
        return question.answer

    def _take_line(self, buffer: Buffer) -> bool:
        self._add_line(buffer.text)
        return False

    def _add_line(self, line: str | None) -> None:
        self._lines.append(line)
        self._has_line.set()

    def _take_answer(self, buffer: Buffer) -> bool:
        if self._question is not None:
            self._question.close(buffer.text)
        return False

    def _application(self, terminal: tuple[Input, Output] | None) -> Application[None]:
        source, output = terminal or (None, None)
        return Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=_STYLE,
            input=source,
            output=output,
            erase_when_done=True,
            min_redraw_interval=0.04,
            refresh_interval=1.0,
        )

    def _layout(self) -> Layout:
        is_asking = Condition(lambda: self._question is not None)
        line = Window(
            BufferControl(
                self._buffer,
                input_processors=[BeforeInput(lambda: [("class:prompt", self._prompt)])],
                search_buffer_control=self._search.control,
            ),
            height=self._line_height,
            wrap_lines=True,
            dont_extend_height=True,
        )
        answer = Window(
            BufferControl(self._answer, input_processors=[BeforeInput(self._question_text)]),
            height=Dimension(min=1, max=3),
            wrap_lines=True,
            dont_extend_height=True,
        )
        body = HSplit(
            [
                self._text_window(self._live_text),
                self._text_window(self._wait_text),
                ConditionalContainer(answer, is_asking),
                ConditionalContainer(line, ~is_asking),
                self._search,
                self._text_window(self._status_text),
            ]
        )
        menu = Float(CompletionsMenu(max_height=6), xcursor=True, ycursor=True)
        return Layout(FloatContainer(body, [menu]), focused_element=self._buffer)

    def _text_window(self, text: Callable[[], StyleAndTextTuples | ANSI]) -> ConditionalContainer:
        window = Window(FormattedTextControl(text), dont_extend_height=True)
        return ConditionalContainer(window, Condition(lambda: bool(_plain(text()))))

    def _line_height(self) -> Dimension:
        is_completing = self._buffer.complete_state is not None
        return Dimension(min=_MENU_ROWS if is_completing else 1, max=_MENU_ROWS)

    def _live_text(self) -> ANSI:
        rows = max(1, min(MOST_LIVE_ROWS, self.rows - _OTHER_ROWS))
        lines = self._texts.live(self.columns - 1, rows).rstrip("\n").split("\n")
        return ANSI("\n".join(lines[-rows:]))

    def _wait_text(self) -> StyleAndTextTuples:
        text = self._texts.wait()
        return [("class:wait", text[: self.columns - 1])] if text else []

    def _status_text(self) -> StyleAndTextTuples:
        return [("class:status", self._texts.status(self.columns - 1))]

    def _question_text(self) -> StyleAndTextTuples:
        return [("class:prompt", self._question.prompt if self._question else "")]

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()
        takes_key = Condition(lambda: self._question is not None and bool(self._question.keys))
        bindings.add("<any>", filter=takes_key, eager=True)(self._press)
        bindings.add("enter", filter=takes_key, eager=True)(self._press)
        bindings.add("c-c", eager=True)(self._interrupt)
        bindings.add("c-d", filter=Condition(self._is_empty), eager=True)(self._close)
        bindings.add("c-o")(self._expand)
        bindings.add("c-l")(self._clear)
        return bindings

    def _is_empty(self) -> bool:
        return self._question is not None or not self._buffer.text

    def _press(self, event: KeyPressEvent) -> None:
        question = self._question
        word = question.keys.get(_key_name(event)) if question else None
        if question is not None and word is not None:
            question.close(word)

    def _interrupt(self, event: KeyPressEvent) -> None:
        if self._question is not None:
            self._question.close(None)
        elif event.current_buffer.text:
            event.current_buffer.reset()
        else:
            self._actions.interrupt()

    def _expand(self, event: KeyPressEvent) -> None:
        del event  # it is always the last result
        self._actions.expand()

    def _clear(self, event: KeyPressEvent) -> None:
        del event  # the whole window is cleared
        self._app.renderer.clear()

    def _close(self, event: KeyPressEvent) -> None:
        del event  # Ctrl-D means the same wherever it is pressed
        if self._question is not None:
            self._question.close(None)
        else:
            self._add_line(None)


def _key_name(event: KeyPressEvent) -> str:
    press = event.key_sequence[0]
    return getattr(press.key, "value", str(press.key))


def _plain(text: StyleAndTextTuples | ANSI) -> str:
    return text.value if isinstance(text, ANSI) else "".join(part[1] for part in text)
