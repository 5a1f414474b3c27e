"""The labelling screen: one output at a time, a key for each answer."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import ConditionalContainer, HSplit, Layout, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import Output

from kiln_mcp.doors.cli.label_texts import (
    MOVE_LINE,
    answer_keys,
    item_lines,
    key_line,
    question_line,
    title_line,
    wrap,
)
from kiln_mcp.judging.labelling_session import LabellingSession
from storage.errors import WorkbenchError

_SAVED: Final = "Saved."


@dataclass(slots=True)
class LabelScreen:
    """The screen of one session.

    Attributes:
        session: What is labelled.
        message: What the last key did.
        offset: The first line of the item that is shown.
    """

    session: LabellingSession
    message: str = ""
    offset: int = 0
    is_busy: bool = False
    _reason: Buffer = field(init=False)
    _item: Window = field(init=False)
    _is_writing: bool = False
    _app: Application[None] = field(init=False)

    async def run(self, terminal: Input | None = None, output: Output | None = None) -> None:
        """Show the screen until the session ends or the rater quits."""
        self._reason = Buffer(multiline=False, accept_handler=self._take_reason)
        self._item = Window(FormattedTextControl(self._body, focusable=True))
        self._app = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            full_screen=True,
            input=terminal,
            output=output,
            erase_when_done=True,
        )
        self.session.show()
        await self._app.run_async()

    @property
    def _width(self) -> int:
        return self._app.output.get_size().columns

    @property
    def _height(self) -> int:
        """The lines that an item may take."""
        rows = self._app.output.get_size().rows
        return max(1, rows - 1 - len(self._footer_lines()))

    def _lines(self) -> list[str]:
        question = self.session.question
        return item_lines(question, self._width) if question else []

    def _footer_lines(self) -> list[str]:
        question = self.session.question
        if question is None:
            return []
        texts = [
            question_line(self.session, question),
            key_line(question.place.score.type),
            MOVE_LINE,
            self.message,
        ]
        return [line for text in texts if text for line in wrap(text, self._width)]

    def _title(self) -> StyleAndTextTuples:
        question = self.session.question
        if question is None:
            return []
        lines = len(self._lines())
        last = min(lines, self.offset + self._height)
        position = (
            f" - lines {self.offset + 1} to {last} of {lines}" if lines > self._height else ""
        )
        return [("bold", f"{title_line(self.session, question)}{position}")]

    def _body(self) -> StyleAndTextTuples:
        lines = self._lines()[self.offset : self.offset + self._height]
        return [("", "\n".join(lines))]

    def _footer(self) -> StyleAndTextTuples:
        return [("", "\n".join(self._footer_lines()))]

    def _layout(self) -> Layout:
        is_writing = Condition(lambda: self._is_writing)
        reason = BufferControl(self._reason, input_processors=[BeforeInput("Reason: ")])
        return Layout(
            HSplit(
                [
                    Window(FormattedTextControl(self._title), height=1),
                    self._item,
                    ConditionalContainer(Window(reason, height=1), is_writing),
                    Window(FormattedTextControl(self._footer), dont_extend_height=True),
                ]
            )
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        is_reading = Condition(lambda: not self._is_writing)

        def on(names: Sequence[str], act: Callable[[], None], *, in_any_mode: bool = False) -> None:
            def handle(_event: KeyPressEvent) -> None:
                act()

            for name in names:
                keys.add(name, filter=in_any_mode or is_reading)(handle)

        for key in {*answer_keys("five_star"), *answer_keys("pass_fail_critical")}:
            on([key], partial(self._press, key))
        on(["left", "k", "backspace"], self._back)
        on(["right", "n"], self._forward)
        on(["u"], lambda: self._start(self._undo()))
        on(["r"], self._write_reason)
        on(["down", "j"], lambda: self._scroll(1))
        on(["up"], lambda: self._scroll(-1))
        on([" ", "pagedown"], lambda: self._scroll(self._height))
        on(["pageup"], lambda: self._scroll(-self._height))
        on(["home"], lambda: self._scroll(-len(self._lines())))
        on(["end"], lambda: self._scroll(len(self._lines())))
        on(["q"], self._quit)
        on(["c-c", "c-d", "<sigint>"], self._quit, in_any_mode=True)
        on(["escape"], self._end_reason, in_any_mode=True)
        return keys

    def _press(self, key: str) -> None:
        question = self.session.question
        word = answer_keys(question.place.score.type).get(key) if question else None
        if question is not None and word is not None:
            self._start(self._answer(question.item, word))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work of a key. A key that is pressed meanwhile is dropped: its item was not seen."""
        if self.is_busy:
            work.close()
            return
        self.is_busy = True
        self._app.create_background_task(self._finish(work))

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except WorkbenchError as error:
            self.message = str(error)
        finally:
            self.is_busy = False
        self._app.invalidate()

    async def _answer(self, item: str, word: str) -> None:
        await self.session.answer(word)
        self.message = " ".join(filter(None, [_SAVED, self.session.limits, *self.session.notes]))
        self.session.notes = []
        self._turn(item)
        if self.session.question is None:
            self._quit()
        elif self.session.needs_items:
            self._app.create_background_task(self._draw_ahead())

    async def _draw_ahead(self) -> None:
        try:
            await self.session.draw_ahead()
        except WorkbenchError as error:
            self.message = str(error)
        self._app.invalidate()

    async def _undo(self) -> None:
        question = self.session.question
        is_undone = await self.session.undo()
        words = ["Undone." if is_undone else "There is nothing to undo.", *self.session.notes]
        self.message, self.session.notes = " ".join(words), []
        self._turn(question.item if question else "")

    def _back(self) -> None:
        question = self.session.question
        if not self.session.go_back():
            self.message = "This is the first item."
        self._turn(question.item if question else "")

    def _forward(self) -> None:
        question = self.session.question
        if not self.session.go_forward():
            self.message = "Answer first, or press s to skip."
        self._turn(question.item if question else "")
        if self.session.question is None:
            self._quit()

    def _turn(self, earlier_item: str) -> None:
        """Show what is asked now, from its first line if it is another item."""
        question = self.session.question
        if question is not None and question.item != earlier_item:
            self.offset = 0
        self.session.show()

    def _scroll(self, lines: int) -> None:
        last = max(0, len(self._lines()) - self._height)
        self.offset = min(last, max(0, self.offset + lines))

    def _write_reason(self) -> None:
        self._is_writing = True
        self._reason.reset()
        self._app.layout.focus(self._reason)

    def _end_reason(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._app.layout.focus(self._item)

    def _take_reason(self, buffer: Buffer) -> bool:
        text = buffer.text.strip()
        self._end_reason()
        if text:
            self.message = "The reason is kept with your label."
            self._start(self.session.give_reason(text))
        return False

    def _quit(self) -> None:
        if self._app.is_running and not self._app.is_done:
            self._app.exit()
