"""The events of a conversation on a surface."""

from dataclasses import dataclass, field
from typing import Final

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from agent.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CostChanged,
    Effect,
    Event,
    FormAnswered,
    FormAsked,
    JobChanged,
    MessageEnd,
    Note,
    ReasoningDelta,
    TextDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    TurnEnd,
)
from agent.fences import printable
from agent.forms import FormField
from agent.terminal.plots import progress_bar
from agent.terminal.results import Results, result_line, short_arguments, whole_result
from agent.terminal.status import ENDED, Status
from agent.terminal.surface import Surface
from agent.tool_approval import PERSON

_REPLIES: Final = {
    "accept": "Agreed.",
    "remember": "Agreed, and for like calls of this chat.",
    "decline": "Not agreed.",
    "cancel": "Not answered.",
}


_FORM_REPLIES: Final = {
    "accept": "Answered.",
    "decline": "Not answered: declined.",
    "cancel": "Closed without an answer.",
}


@dataclass(slots=True)
class EventView:
    """Shows events.

    Attributes:
        surface: Where.
        has_boxes: Whether frames may be drawn; else lines stand alone.
        results: The results of tools, for `/show`.
        status: The status line's content.
    """

    surface: Surface
    has_boxes: bool = True
    results: Results = field(default_factory=Results)
    status: Status = field(default_factory=Status)
    _calls: dict[str, ToolStarted] = field(default_factory=dict[str, ToolStarted])

    def show(self, event: Event) -> None:  # noqa: C901 - one line for each kind of event
        """Show one event."""
        match event:
            case TextDelta(text):
                self.surface.stream(text)
            case MessageEnd(message) if message.content:  # the next answer begins a line
                self.surface.settle()
            case ReasoningDelta():
                self.surface.wait("thinking")
            case ToolStarted():
                self._begin(event)
            case ToolProgress():
                self._progress(event)
            case ToolFinished():
                self._finish(event)
            case ApprovalAnswered(_, reply, by):
                self.say(_answer_words(_REPLIES[reply], by), "muted")
            case FormAnswered(_, action, by):
                self.say(_answer_words(_FORM_REPLIES[action], by), "muted")
            case CostChanged():
                self.status.cost = event
            case JobChanged():
                self._change_job(event)
            case Note(text):
                self.say(text, "muted")
            case TurnEnd():
                self._end(event)
            case _:
                pass

    def say(self, text: str, style: str = "") -> None:
        """Show words of the program."""
        self.surface.print(Text(printable(text), style=style))

    def print(self, renderable: RenderableType) -> None:
        """Show something of the program."""
        self.surface.print(renderable)

    def show_whole(self, number: str = "") -> None:
        """Show a result whole.

        Raises:
            Refusal: There is none of this number.
        """
        self.surface.print(whole_result(self.results.find(number)))

    def show_question(self, question: ApprovalAsked) -> None:
        """Set the plan of a question apart, with its cost, its effects and where data goes."""
        plan = Text(printable(question.plan))
        facts = Text("\n".join(_facts(question)), "warn")
        if not self.has_boxes:
            self.surface.print(Group(Text("This needs your yes:"), plan, facts))
            return
        frame = Panel(
            Group(plan, Text(), facts),
            title="This needs your yes",
            title_align="left",
            box=ROUNDED,
            border_style="warn",
        )
        self.surface.print(frame)

    def show_form(self, form: FormAsked) -> None:
        """Show what a server asks the person, with the options of each field."""
        asker = f"The server {form.server} asks, and gets your answers:" if form.server else ""
        lines = [line for field in form.fields for line in _field_lines(field)]
        parts = [
            *([Text(printable(asker), "warn")] if asker else []),
            Text(printable(form.message), "person"),
            *([Text(printable("\n".join(lines)))] if lines else []),
        ]
        self.surface.print(Group(*parts))

    def _begin(self, event: ToolStarted) -> None:
        self._calls[event.call_id] = event
        self.surface.settle()
        words = f"{event.name}{short_arguments(event.arguments)}"
        if event.effect is not Effect.READS:
            text = Text(no_wrap=True)
            text.append(printable(f"→ {event.name} ({event.effect})"), "tool")
            text.append(f"{short_arguments(event.arguments)}", "muted")
            text.overflow = "ellipsis"
            self.surface.print(text)
        self.surface.wait(words)

    def _progress(self, event: ToolProgress) -> None:
        call = self._calls.get(event.call_id)
        share = f"{event.done:g}/{event.total:g}" if event.total else f"{event.done:g}"
        words = [call.name if call else "", progress_bar(event.done, event.total), share]
        self.surface.wait(" ".join(word for word in (*words, event.note) if word))

    def _finish(self, event: ToolFinished) -> None:
        call = self._calls.pop(event.call_id, None)
        result = self.results.add(call.arguments if call else "{}", event)
        self.surface.print(result_line(result, self.surface.columns))
        open_call = next(iter(self._calls.values()), None)
        self.surface.wait(open_call.name if open_call else self.status.model)

    def _change_job(self, event: JobChanged) -> None:
        self.status.note_job(event)
        if event.state in ENDED:
            is_done = event.state == "done"
            mark = "✓" if is_done else "✗"
            note = "" if is_done else event.note  # of its last piece of work
            words = f"{mark} Job {event.job} {event.state}. {note}".strip()
            self.say(words, "" if is_done else "bad")

    def _end(self, event: TurnEnd) -> None:
        self._calls.clear()
        self.surface.settle()
        match event.reason:
            case "interrupted":
                self.say("Stopped. What was done stays.", "warn")
            case "failed" | "limit":
                self.say(event.note or f"The turn ended: {event.reason}.", "bad")
            case _:
                pass


def _facts(question: ApprovalAsked) -> list[str]:
    cost = question.cost_usd
    facts = [
        "Cost: not known" if cost is None else f"Cost: at most ${cost:.4f}",
        f"Effect: {', '.join(question.effects)}" if question.effects else "",
        f"Data goes to: {', '.join(question.destinations)}" if question.destinations else "",
        f"Project: {question.project}" if question.project else "",
    ]
    return [printable(fact) for fact in facts if fact]


def _answer_words(words: str, by: str) -> str:
    """Return the words for an answer, with who gave it if that was no person."""
    return words if by == PERSON else f"{words[:-1]} ({by})."


def _field_lines(field: FormField) -> list[str]:
    """Return the lines of a field above its prompt: its help, and its options with numbers."""
    options = [f"  {number}. {label}" for number, label in enumerate(field.labels, 1)]
    return [f"{field.title}: {field.help}" if field.help else field.title, *options]
