"""The events of a conversation: what a front shows, and what it answers.

A front (terminal, pipe, test) iterates over `Conversation.turn`, and renders each event. It
answers an `ApprovalAsked` through its `Approver`; every other event is for reading alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Literal, cast

from pydantic import JsonValue

from agent.forms import FormField
from kiln_mcp.llm import Message, ReasoningDelta, TextDelta

TurnReason = Literal["answered", "round_limit", "interrupted", "limit", "failed"]
"""Why a turn ended. limit: the chat's budget, or a limit of the mode, is reached."""

Reply = Literal["accept", "remember", "decline", "cancel"]
"""The answer to a question. remember: yes, and the same for like calls of this chat.
cancel: it was closed unanswered, which is neither yes nor no."""


class Effect(StrEnum):
    """What a call may do."""

    READS = "reads"
    WRITES = "writes"
    """Changes the project; can be undone."""
    SPENDS = "spends"
    """Asks models, which may cost money."""
    SENDS = "sends"
    """Sends data to a destination outside."""
    CERTIFIES = "certifies"
    """Labels count for a certificate in the person's name."""
    EXECUTES = "executes"
    """Adds code that runs on this machine."""
    DESTROYS = "destroys"
    """Removes something for good, or may do anything: no annotation says otherwise."""


ALWAYS_ASKED: Final = frozenset({Effect.CERTIFIES, Effect.EXECUTES, Effect.DESTROYS})
"""Effects that no mode and no earlier answer approves."""


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """A whole message of the model; its text was shown as deltas before."""

    message: Message


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A call begins.

    Attributes:
        call_id: Names the call in later events.
        name: The tool.
        arguments: As JSON text, as the model wrote it; it may be malformed.
        effect: The gravest effect that the tool's annotations allow.
    """

    call_id: str
    name: str
    arguments: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """The progress of a call; `total` is None if it is not known."""

    call_id: str
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """The result of a call.

    Attributes:
        call_id: The call.
        name: The tool.
        text: What it answered, whole and unfenced: foreign text.
        is_error: Whether it failed.
        seconds: How long it took, the wait for an approval included.
        structured: The answer as data; None if the server gave none.
        refusal: Why the call was not carried out, in a word or two: "declined", "not approved",
            or "stopped" in the middle; empty if it was.
    """

    call_id: str
    name: str
    text: str
    is_error: bool
    seconds: float
    structured: JsonValue = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A call waits for the person.

    Attributes:
        call_id: The call; empty if the server asks outside of one.
        plan: What will be done, in words, with its price.
        effects: Its effects.
        cost_usd: The most that it may cost; None if that is not known.
        destinations: Where data is sent.
        tool: The tool that asks.
        project: The project that it names; empty if it names none.
    """

    call_id: str
    plan: str
    effects: tuple[Effect, ...]
    cost_usd: float | None
    destinations: tuple[str, ...] = ()
    tool: str = ""
    project: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    """The answer to a question.

    Attributes:
        call_id: The call.
        reply: The answer.
        by: Who gave it: "person", or the rule that did, such as "auto: up to $2".
    """

    call_id: str
    reply: Reply
    by: str


@dataclass(frozen=True, slots=True)
class FormAsked:
    """A server asks the person something that is no approval.

    Attributes:
        call_id: The call; empty if the server asks outside of one.
        server: The server that asks and gets the answers; empty for the own workbench.
        message: What it says.
        fields: What it asks.
    """

    call_id: str
    server: str
    message: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class FormAnswered:
    """The answer to a form: accept, decline or cancel, and who gave it."""

    call_id: str
    action: Literal["accept", "decline", "cancel"]
    by: str


@dataclass(frozen=True, slots=True)
class CostChanged:
    """What the chat's model calls have taken so far.

    Attributes:
        cost_usd: US dollars; calls without a known price are not in it.
        tokens: Tokens read and written, in all.
        calls: Model calls.
        context_tokens: The tokens of the last request and its answer.
        context_limit: The most that the model reads; None if that is not known.
        cached_tokens: Tokens of the last request that came from the provider's cache.
        unpriced_calls: Calls whose price is not known.
    """

    cost_usd: float
    tokens: int
    calls: int
    context_tokens: int
    context_limit: int | None
    cached_tokens: int = 0
    unpriced_calls: int = 0

    @property
    def price(self) -> str:
        """What the calls cost, for people."""
        return price_text(self.cost_usd, self.unpriced_calls)


def price_text(cost_usd: float, unpriced_calls: int) -> str:
    """Return what calls cost, for people; calls without a known price make it a lower bound."""
    if not unpriced_calls:
        return f"${cost_usd:.4f}"
    return f"over ${cost_usd:.4f}" if cost_usd else "price not known"


@dataclass(frozen=True, slots=True)
class JobChanged:
    """The state of a job that goes on while the talk goes on.

    Attributes:
        job: Its id.
        state: As the workbench names it: running, done, failed, stopped, …
        done: The work done.
        total: All of the work; None if that is not known.
        note: What it says of itself, or its result in a line.
    """

    job: str
    state: str
    done: float
    total: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Note:
    """The program's own words."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The end of a turn; `note` is the sentence of a failure or a limit."""

    reason: TurnReason
    note: str = ""


Event = (
    TextDelta
    | ReasoningDelta
    | MessageEnd
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | ApprovalAsked
    | ApprovalAnswered
    | FormAsked
    | FormAnswered
    | CostChanged
    | JobChanged
    | Note
    | TurnEnd
)

_TYPES: Final[dict[type, str]] = {
    TextDelta: "text",
    ReasoningDelta: "reasoning",
    MessageEnd: "message",
    ToolStarted: "tool_started",
    ToolProgress: "tool_progress",
    ToolFinished: "tool_finished",
    ApprovalAsked: "approval_asked",
    ApprovalAnswered: "approval_answered",
    FormAsked: "form_asked",
    FormAnswered: "form_answered",
    CostChanged: "cost",
    JobChanged: "job",
    Note: "note",
    TurnEnd: "turn_end",
}


def to_json(event: Event) -> dict[str, JsonValue]:
    """Return an event as JSON data with its kind under "type"."""
    data: dict[str, JsonValue] = {"type": _TYPES[type(event)]}
    for field in fields(event):
        data[field.name] = _plain(getattr(event, field.name))
    if isinstance(event, ToolStarted):
        data["arguments"] = _arguments_of(event.arguments)
    return data


def _plain(value: object) -> JsonValue:
    match value:
        case Message():
            calls: list[JsonValue] = [
                {"id": call.id, "name": call.name, "arguments": _arguments_of(call.arguments)}
                for call in value.tool_calls
            ]
            return {"role": value.role, "text": value.content, "calls": calls}
        case FormField():
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case tuple():
            return [_plain(entry) for entry in cast("Sequence[object]", value)]
        case _:
            return cast("JsonValue", value)


def _arguments_of(arguments: str) -> JsonValue:
    """Return the arguments of a call as data; as text if they are malformed."""
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
