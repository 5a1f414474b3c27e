"""One step of a trace: a call of a model, a call of a tool, or another step."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from storage.exchange.examples import tags_of

Message = Mapping[str, object]
"""A message in OpenAI's form; `finish_reason` beside it says why the model stopped."""

Kind = Literal["model", "tool", "step"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS: Final = 1_000_000_000
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_LATEST: Final = 253_402_300_799 * _NANOSECONDS
"""The end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody or something said about an answer, as its export has it.

    Attributes:
        name: What was asked: `thumbs`, `helpful`, `correctness`.
        value: A number, true or false, or a word.
        comment: What was written.
        author: Who: `user`, `annotator`, `evaluator`, or what the export says.
    """

    name: str
    value: str | float | bool | None = None
    comment: str | None = None
    author: str = "user"


@dataclass(slots=True)
class Span:
    """A step of a trace, or a fragment that completes one.

    Attributes:
        trace: The trace's id.
        id: The span's id; empty for what belongs to the whole trace.
        parent: The id of the span around it.
        kind: What it is.
        name: What it is called.
        start: Nanoseconds since 1970.
        end: The same for its end.
        input: What went into it, for a step or a tool.
        output: What came out of it.
        messages: What the model was sent.
        answers: What the model answered.
        model: The model.
        provider: Who ran it.
        tokens: Counts by `input`, `output`, `total`, `cached`.
        cost: US dollars.
        finish: Why the model stopped.
        error: What went wrong.
        call_id: The tool call that it answers.
        session: The conversation that the trace belongs to.
        tags: Tags of the trace.
        feedback: What was said about it.
        predecessor: The id of the trace that it continues.
        is_fragment: Whether it only completes the span of its id.
        is_trace: Whether it stands for the whole trace.
    """

    trace: str
    id: str
    parent: str | None = None
    kind: Kind = "step"
    name: str = ""
    start: int | None = None
    end: int | None = None
    input: object = None
    output: object = None
    messages: list[Message] = field(default_factory=list[Message])
    answers: list[Message] = field(default_factory=list[Message])
    model: str | None = None
    provider: str | None = None
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    cost: float | None = None
    finish: str | None = None
    error: str | None = None
    call_id: str | None = None
    session: str | None = None
    tags: list[str] = field(default_factory=list[str])
    feedback: list[Feedback] = field(default_factory=list[Feedback])
    predecessor: str | None = None
    is_fragment: bool = False
    is_trace: bool = False

    @property
    def latency(self) -> int | None:
        """How many milliseconds it took; None if its times are not known or are no interval."""
        if self.start is None or self.end is None or self.end < self.start:
            return None
        return (self.end - self.start) // 1_000_000

    def complete(self, other: "Span") -> None:
        """Take over what another span of the same id knows and this one does not."""
        for name in ("parent", "start", "end", "input", "output", "model", "provider", "cost"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))
        for name in ("finish", "error", "call_id", "session", "name", "tokens"):
            if not getattr(self, name):
                setattr(self, name, getattr(other, name))
        self.kind = other.kind if self.kind == "step" else self.kind
        self.messages = self.messages + other.messages
        self.answers = self.answers + other.answers
        self.tags = self.tags + other.tags
        self.feedback = self.feedback + other.feedback


def text_or_none(value: object) -> str | None:
    """Return text that says something, also of a number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def first_text(values: Iterable[object]) -> str | None:
    """Return the first text that says something; None if none does."""
    return next((text for value in values if (text := text_or_none(value))), None)


def finish_of(answers: Iterable[Message]) -> str | None:
    """Return why a model stopped, from the first of its answers that says it."""
    reasons = (answer.get("finish_reason") for answer in answers)
    return next((str(reason) for reason in reasons if reason), None)


def trace_tags(value: object) -> list[str]:
    """Return the tags of a trace; none if they are none."""
    try:
        return list(tags_of(value))
    except ValueError:
        return []


def number_of(value: object) -> float | None:
    """Return a finite number that is not negative, also from its text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def count_of(*values: object) -> int | None:
    """Return the first value that is a count."""
    numbers = (number_of(value) for value in values)
    return next((int(number) for number in numbers if number is not None), None)


def token_counts(**counts: int | None) -> dict[str, int]:
    """Return the counts that are known."""
    return {name: count for name, count in counts.items() if count is not None}


def time_of(value: object) -> int | None:
    """Return a time in nanoseconds since 1970; None if it is none.

    Takes ISO 8601, and numbers of seconds, milliseconds, microseconds or nanoseconds.
    """
    if isinstance(value, datetime):
        return _nanoseconds(value)
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        try:
            return _nanoseconds(datetime.fromisoformat(value.strip()))
        except ValueError:
            return None
    number = number_of(value)
    if not number:
        return None
    if isinstance(value, str) and value.strip().isdigit():
        number = int(value)
    factor = next(
        (factor for lowest, factor in _UNITS if number >= lowest),
        _NANOSECONDS,
    )
    time = int(number * factor)
    return time if time <= _LATEST else None


_UNITS: Final = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000))
"""Least number of nanoseconds, microseconds and milliseconds, for times after 1973."""


def moment_of(time: int | None) -> datetime | None:
    """Return the time of nanoseconds since 1970."""
    return None if time is None else datetime.fromtimestamp(time / _NANOSECONDS, UTC)


def _nanoseconds(moment: datetime) -> int | None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    difference = aware - _EPOCH
    seconds = difference.days * 86_400 + difference.seconds
    return seconds * _NANOSECONDS + difference.microseconds * 1_000 if seconds >= 0 else None
