"""What is decided without a question, and the record of every answer."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Self

import anyio

from agent.events import (
    ALWAYS_ASKED,
    ApprovalAnswered,
    ApprovalAsked,
    Effect,
    Event,
    FormAnswered,
    FormAsked,
    Note,
    Reply,
)
from agent.forms import FormReply, secret_in
from agent.modes import AutoLimits, Mode
from agent.tool_approval import Approver, Decision

_SECRET_NOTE: Final = (
    "The server {server} asks for a secret ({title}), which no server may ask in a form. It was "
    "declined. Keys belong in the server's own settings."
)
PLAN_NOTE: Final = (
    "This conversation only plans: nothing is changed, spent or sent. Tell the person what you "
    "would call, with its cost, and why. They can leave this mode."
)


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """An answer, as the chat's file keeps it.

    Attributes:
        question: What was asked.
        reply: The answer.
        by: "person", or the rule that answered.
        at: When, in seconds since 1970.
    """

    question: ApprovalAsked
    reply: Reply
    by: str
    at: float


@dataclass(slots=True)
class _Grant:
    """A yes that holds for like calls of one chat, until they cost as much again together."""

    tool: str
    project: str
    effects: frozenset[Effect]
    destinations: frozenset[str]
    cost_usd: float

    @classmethod
    def of(cls, question: ApprovalAsked) -> Self | None:
        """Return the grant of a question; None if it must be asked each time."""
        effects = frozenset(question.effects)
        if effects & ALWAYS_ASKED or question.cost_usd is None or not question.tool:
            return None
        places = frozenset(question.destinations)
        return cls(question.tool, question.project, effects, places, question.cost_usd)

    def covers(self, question: ApprovalAsked) -> bool:
        """Return whether it holds for a question."""
        other = _Grant.of(question)
        return (
            other is not None
            and (self.tool, self.project) == (other.tool, other.project)
            and other.effects <= self.effects
            and other.destinations <= self.destinations
            and other.cost_usd <= self.cost_usd
        )


@dataclass(slots=True)
class Approvals:
    """Answers questions by the mode, by earlier answers of this chat, or through the person.

    Attributes:
        approver: The person.
        mode: How much is done without a question.
        limits: Those of the mode `auto`.
        emit: Shows an event.
        record: Keeps an answer.
        clock: The time of day in seconds; the limit of the mode `auto` is measured with it.
    """

    approver: Approver
    emit: Callable[[Event], None]
    record: Callable[[ApprovalRecord], Awaitable[None]]
    mode: Mode = Mode.ASK
    limits: AutoLimits = field(default_factory=AutoLimits)
    clock: Callable[[], float] = time.time
    _grants: list[_Grant] = field(default_factory=list[_Grant])
    _cost_usd: float = 0.0
    _calls: int = 0
    _since: float = 0.0
    _deciders: dict[str, str] = field(default_factory=dict[str, str])
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    def set_mode(self, mode: Mode, limits: AutoLimits | None = None) -> None:
        """Change the mode; what `auto` may take is counted from now on."""
        self.mode = mode
        self.limits = limits or self.limits
        self._cost_usd, self._calls, self._since = 0.0, 0, self.clock()

    def forget(self) -> None:
        """Forget the earlier answers, as another chat must not know them."""
        self._grants.clear()

    async def ask(self, question: ApprovalAsked) -> Decision:
        """Have a question answered; one question after the other."""
        async with self._lock:
            decision = self._by_rule(question)
            if decision is None:
                self.emit(question)
                decision = Decision(await self.approver.decide(question), self.approver.by)
                self._remember(question, decision.reply)
            reply, by = decision.reply, decision.by
            await self.record(ApprovalRecord(question, reply, by, self.clock()))
            self._deciders[question.call_id] = by
            self.emit(ApprovalAnswered(question.call_id, reply, by))
            return decision

    async def fill(self, form: FormAsked) -> FormReply:
        """Have a form filled in; no rule does it, since answers are the person's."""
        if form.server and (title := secret_in(form.fields)):
            self.emit(Note(_SECRET_NOTE.format(server=form.server, title=title)))
            return FormReply("decline", {})
        async with self._lock:
            self.emit(form)
            reply = await self.approver.fill(form)
            self.emit(FormAnswered(form.call_id, reply.action, self.approver.by))
            return reply

    def take_decider(self, call_id: str) -> str:
        """Return who answered the last question of a call, once; empty if nothing was asked."""
        return self._deciders.pop(call_id, "")

    def _by_rule(self, question: ApprovalAsked) -> Decision | None:
        if self.mode is Mode.PLAN:
            return Decision("decline", "plan mode")
        if self._is_granted(question):
            return Decision("accept", "an earlier answer in this chat")
        if self.mode is Mode.AUTO and self._is_within_limits(question):
            self._cost_usd += question.cost_usd or 0.0
            self._calls += 1
            spending = f"${self._cost_usd:.4f} of ${self.limits.cost_usd:.2f}"
            return Decision("accept", f"auto: {spending}")
        return None

    def _is_granted(self, question: ApprovalAsked) -> bool:
        grant = next((grant for grant in self._grants if grant.covers(question)), None)
        if grant is not None:
            grant.cost_usd -= question.cost_usd or 0.0
        return grant is not None

    def _is_within_limits(self, question: ApprovalAsked) -> bool:
        effects, limits = frozenset(question.effects), self.limits
        return (
            bool(effects)
            and effects <= limits.effects - ALWAYS_ASKED
            and question.cost_usd is not None
            and self._cost_usd + question.cost_usd <= limits.cost_usd
            and self._calls < limits.calls
            and self.clock() - self._since <= limits.seconds
        )

    def _remember(self, question: ApprovalAsked, reply: Reply) -> None:
        grant = _Grant.of(question) if reply == "remember" else None
        if grant is not None:
            self._grants.append(grant)
