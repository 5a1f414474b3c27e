"""The front of a session: what shows the conversation and reaches the person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
from rich.console import RenderableType

from agent.events import ALWAYS_ASKED, ApprovalAsked, Event, FormAsked, Reply
from agent.fences import printable
from agent.forms import FormField, FormReply, FormValue, own_words_field, value_in
from agent.terminal.readers import LineReader
from agent.terminal.view import EventView
from agent.tool_approval import PERSON
from storage.errors import Refusal
from storage.text.excerpts import counted_excerpt

_ORDER_S: Final = 2.0
"""How long a question waits for the events before it to be shown."""
_MOST_ECHOED: Final = 20
_LONGEST_ECHO: Final = 4_000
"""Lines, and characters, of typed words that are shown again."""
_YES: Final = frozenset({"y", "yes"})
_REMEMBER: Final = frozenset({"a", "always"})
_NO: Final = frozenset({"", "n", "no"})
_DECLINE: Final = "/decline"


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
    _question: ApprovalAsked | FormAsked | None = None
    _has_question: anyio.Event = field(default_factory=anyio.Event)

    def show(self, event: Event) -> None:
        """Show an event."""
        self.view.show(event)
        if isinstance(event, ApprovalAsked | FormAsked):
            self._show_question(event)

    def say(self, text: str, style: str = "") -> None:
        """Show words of the program."""
        self.view.say(text, style)

    def echo(self, text: str) -> None:
        """Show what the person typed, or pasted: of much, the beginning."""
        lines = text.split("\n")
        rest = f"\n… {len(lines) - _MOST_ECHOED} more lines" if len(lines) > _MOST_ECHOED else ""
        first_lines = "\n".join(lines[:_MOST_ECHOED])
        self.say(counted_excerpt(first_lines, _LONGEST_ECHO) + rest, "person")

    def print(self, renderable: RenderableType) -> None:
        """Show something of the program."""
        self.view.print(renderable)

    @property
    def by(self) -> str:
        """Who answers, for the record."""
        return PERSON if self.reader.is_person else "no person at a terminal"

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Put a question to the person: anything but yes is no, and words go to the model."""
        await self._until_shown(question)
        can_remember = not ALWAYS_ASKED & set(question.effects) and question.cost_usd is not None
        choices = "[y/N/a: yes to like calls of this chat]" if can_remember else "[y/N]"
        answer = await self.reader.answer(f"Go ahead? {choices} ")
        return self._reply(answer, can_remember=can_remember)

    async def fill(self, form: FormAsked) -> FormReply:
        """Put a form to the person, a field at a time; without a person it is declined."""
        await self._until_shown(form)
        if not self.reader.is_person:
            return FormReply("decline", {})
        values: dict[str, FormValue] = {}
        skipped = ""
        for place, form_field in enumerate(form.fields):
            if form_field.name == skipped:
                continue
            other = own_words_field(form.fields, place)
            answer = await self._answer_to(form_field, other)
            if isinstance(answer, FormReply):
                return answer
            values |= answer
            skipped = other.name if other and answer else ""
        return FormReply("accept", values)

    async def _answer_to(
        self, form_field: FormField, other: FormField | None
    ) -> Mapping[str, FormValue] | FormReply:
        """Return the answer to a field, in words of one's own under the other field's name."""
        prompt = _prompt_of(form_field, has_own_words=other is not None)
        while True:
            words = await self.reader.answer(prompt)
            if words is None:
                return FormReply("cancel", {})
            if words.strip().casefold() == _DECLINE:
                return FormReply("decline", {})
            try:
                return _values_in(form_field, other, words)
            except Refusal as error:
                self.say(str(error), "warn")

    async def _until_shown(self, question: ApprovalAsked | FormAsked) -> None:
        """Wait until the events before a question are shown, and it too."""
        with anyio.move_on_after(_ORDER_S):
            while self._question is not question:
                await self._has_question.wait()
        if self._question is not question:
            self._show_question(question)

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

    def _show_question(self, question: ApprovalAsked | FormAsked) -> None:
        if isinstance(question, FormAsked):
            self.view.show_form(question)
        else:
            self.view.show_question(question)
        self._question = question
        self._has_question.set()
        self._has_question = anyio.Event()


def _values_in(
    form_field: FormField, other: FormField | None, words: str
) -> Mapping[str, FormValue]:
    """Return a field's value; words that are none of its options are the other field's.

    Raises:
        Refusal: They are no answer to either.
    """
    try:
        value = value_in(form_field, words)
    except Refusal:
        if other is None or words.strip().isdecimal():
            raise
        form_field, value = other, value_in(other, words)
    return {} if value is None else {form_field.name: value}


def _prompt_of(field: FormField, *, has_own_words: bool) -> str:
    """Return the prompt of a field: what it takes, and what an empty answer means."""
    kinds = {
        "text": "your words",
        "number": "a number",
        "integer": "a whole number",
        "boolean": "y or n",
        "choice": "a number, or your own words" if has_own_words else "a number or a name",
        "choices": "numbers or names, with commas",
    }
    if field.default is not None:
        empty = f"empty: {field.default}"
    else:
        empty = "" if field.is_required else "empty: none"
    notes = "; ".join(part for part in (kinds[field.kind], empty, _DECLINE) if part)
    return f"{printable(field.title)} ({printable(notes)}): "
