"""The decision whether a proposed call may be carried out: one function for every door.

A model's arguments never decide. A question to the person comes before an approval id, so that a
client that can ask always asks. Clients without a screen close the question unanswered; then an
approval that the person gave in a terminal counts.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Protocol, runtime_checkable

import anyio.to_thread

from kiln_mcp.approvals.approval import Consumption, Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Effect
from kiln_mcp.approvals.policy import Policy


class Reply(StrEnum):
    """The answer to a question to the person."""

    ACCEPT = "accept"
    DECLINE = "decline"
    NONE = "none"
    """The question was closed unanswered."""
    LATER = "later"
    """The client puts the question and then repeats the call."""


class Person(Protocol):
    """A way to reach the person while a call waits."""

    @property
    def door(self) -> Door:
        """Where the person answers."""
        ...

    async def ask(self, call: ProposedCall) -> Reply:
        """Put the plan of a call to the person."""
        ...


@runtime_checkable
class RuleOfPerson(Protocol):
    """A way to a person whose client may answer by a rule that they gave it.

    Attributes:
        rule: The rule that answered; empty if the person did.
    """

    rule: str


@dataclass(frozen=True, slots=True)
class Consent:
    """The call may be carried out.

    Attributes:
        approval_id: The recorded approval; empty if the call needed none.
    """

    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The person said no."""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """The person has not answered.

    Attributes:
        approval_id: The request that waits for the person.
        reason: Why the call was not approved, as sentences.
    """

    approval_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """The client puts the question and then repeats the call."""


Decision = Consent | Rejection | PendingApproval | PendingQuestion


async def decide(
    store: ApprovalStore,
    policy: Policy,
    call: ProposedCall,
    effect: Effect,
    person: Person | None = None,
    approval_id: str | None = None,
) -> Decision:
    """Decide whether a proposed call may be carried out, and record who approved it.

    Args:
        store: The record of approvals.
        policy: The person's settings.
        call: The call with its plan.
        effect: The effect of the capability.
        person: A way to ask the person now; None if there is none.
        approval_id: The approval that the caller names; it counts only if no question is answered.

    Raises:
        ApprovalStoreFailure: The record cannot be used; nothing is approved.
    """
    if not policy.asks_about(call.plan, effect):
        return Consent()
    approval = await anyio.to_thread.run_sync(store.record_allowance, call, policy, effect)
    if approval is not None:
        return Consent(approval.id)
    if person is None:
        reason = "This client cannot put the question to the person."
        return await _use(store, call, approval_id, reason)
    return await _ask(store, call, person, approval_id)


async def _ask(
    store: ApprovalStore, call: ProposedCall, person: Person, approval_id: str | None
) -> Decision:
    reply = await person.ask(call)
    if isinstance(person, RuleOfPerson) and person.rule:
        call = replace(call, client=f"{call.client}: answered by {person.rule}")
    match reply:
        case Reply.ACCEPT:
            record = partial(store.record, call, person.door)
            return Consent((await anyio.to_thread.run_sync(record)).id)
        case Reply.DECLINE:
            record = partial(store.record, call, person.door, agrees=False)
            await anyio.to_thread.run_sync(record)
            return Rejection()
        case Reply.NONE:
            reason = "The question was closed without an answer."
            return await _use(store, call, approval_id, reason)
        case Reply.LATER:
            return PendingQuestion()


async def _use(
    store: ApprovalStore, call: ProposedCall, approval_id: str | None, reason: str
) -> Decision:
    """Use the approval that the caller names; without one that holds, leave the request waiting.

    Args:
        store: The record of approvals.
        call: The call with its plan.
        approval_id: The approval that the caller names.
        reason: Why the person did not answer now, as a sentence.
    """
    if approval_id is not None:
        outcome = await anyio.to_thread.run_sync(store.consume, approval_id, call)
        if outcome is Consumption.CONSUMED:
            return Consent(approval_id)
        if outcome is Consumption.DECLINED:
            return Rejection()
        reason = f"{reason} {outcome.reason}"
    request = await anyio.to_thread.run_sync(store.request, call)
    return PendingApproval(request.id, reason)
