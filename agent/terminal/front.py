"""The front of a session: what shows the conversation and reaches the person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
from rich.console import RenderableType

from agent.events import ALWAYS_ASKED, ApprovalAsked, Event, Reply
from agent.terminal.readers import LineReader
from agent.terminal.view import EventView

_ORDER_S: Final = 2.0
"""How long a question waits for the events before it to be shown."""
_YES: Final = frozenset({"y", "yes"})
_REMEMBER: Final = frozenset({"a", "always"})
_NO: Final = frozenset({"", "n", "no"})


@dataclass(slots=True)
class Front:
    """Shows events, and puts questions to the person.

    Attributes:
        view: Shows.
        reader: Reads what the person types.
        replies: What they answered to a question that was neither yes nor no: words for the model.
    """

    view: EventView
    reader: LineReader
    replies: list[str] = field(default_factory=list[str])
    _question: ApprovalAsked | None = None
    _has_question: anyio.Event = field(default_factory=anyio.Event)

    def show(self, event: Event) -> None:
        """Show an event."""
        self.view.show(event)
        if isinstance(event, ApprovalAsked):
            self._show_question(event)

    def say(self, text: str, style: str = "") -> None:
        """Show words of the program."""
        self.view.say(text, style)

    def print(self, renderable: RenderableType) -> None:
        """Show something of the program."""
        self.view.print(renderable)

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Put a question to the person: anything but yes is no, and words go to the model."""
        with anyio.move_on_after(_ORDER_S):
            while self._question is not question:
                await self._has_question.wait()
        if self._question is not question:
            self._show_question(question)
        can_remember = not ALWAYS_ASKED & set(question.effects) and question.cost_usd is not None
        choices = "[y/N/a: yes to like calls of this chat]" if can_remember else "[y/N]"
        answer = await self.reader.answer(f"Go ahead? {choices} ")
        return self._reply(answer, can_remember=can_remember)

    async def ask(self, question: str) -> str | None:
        """Return the person's line to a question; None if they closed it."""
        self.view.surface.settle()
        return await self.reader.answer(question)

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that the person pressed; None if they closed the question."""
        self.view.surface.settle()
        return await self.reader.press(question, keys)

    def _reply(self, answer: str | None, *, can_remember: bool) -> Reply:
        if answer is None:
            return "cancel"
        word = answer.strip().casefold()
        if word in _YES:
            return "accept"
        if word in _REMEMBER and can_remember:
            return "remember"
        if word not in _NO:
            self.replies.append(answer.strip())
        return "decline"

    def _show_question(self, question: ApprovalAsked) -> None:
        self.view.show_question(question)
        self._question = question
        self._has_question.set()
        self._has_question = anyio.Event()
