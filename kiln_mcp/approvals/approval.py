"""The records of approvals: proposed calls, their states and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from kiln_mcp.approvals.plan import Plan, fingerprint_of


class Door(StrEnum):
    """The door through which a person answered."""

    ELICITATION = "elicitation"
    """A question that the client showed."""
    TERMINAL = "terminal"
    PAGE = "page"
    ALLOWANCE = "allowance"
    """Nobody was asked: the person's daily allowance covers it."""


class ApprovalState(StrEnum):
    """The state of a request; all but the first two are final."""

    WAITING = "waiting"
    APPROVED = "approved"
    """The person agreed; the call has not used it yet."""
    DECLINED = "declined"
    EXPIRED = "expired"
    USED = "used"


class Consumption(StrEnum):
    """The result of using an approval; only `CONSUMED` allows the act."""

    CONSUMED = "consumed"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    DECLINED = "declined"
    EXPIRED = "expired"
    USED = "used"
    OTHER_CALL = "other_call"
    OTHER_PLAN = "other_plan"

    @property
    def reason(self) -> str:
        """The reason why the act is not allowed, as a sentence; empty if it is."""
        return _REASONS[self]


_REASONS = {
    Consumption.CONSUMED: "",
    Consumption.UNKNOWN: "There is no approval with this id.",
    Consumption.WAITING: "The person has not answered yet.",
    Consumption.DECLINED: "The person declined this.",
    Consumption.EXPIRED: "This approval was not used within 24 hours and is no longer valid.",
    Consumption.USED: "This approval was used before; each one holds for one call.",
    Consumption.OTHER_CALL: "This approval belongs to another call: the tool or its arguments "
    "differ from what the person saw.",
    Consumption.OTHER_PLAN: "The plan is no longer the one that the person saw.",
}


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A call that needs a person's approval.

    Attributes:
        tool: The capability's name.
        arguments: Its arguments as JSON data, without the approval id.
        plan: Its plan.
        title: The tool's title for a person.
        client: The caller's name for a person; empty if unknown. Nothing depends on it.
    """

    tool: str
    arguments: Mapping[str, JsonValue]
    plan: Plan
    title: str = ""
    client: str = ""

    @property
    def arguments_fingerprint(self) -> str:
        """A SHA-256 over the arguments in canonical form."""
        return fingerprint_of(self.arguments)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval, with its state and answer.

    Attributes:
        id: Sayable, such as `ap-4k7m2q`.
        call: The call that needs approval.
        state: Its state.
        door: The door of the answer; None if nobody answered.
        asked_at: When it was asked, in seconds since 1970.
        answered_at: When it was answered; None if it was not.
        used_at: When the act that it allows began; None if it has not.
        expense: What the act took; None until that is known, or if it asked no model.
    """

    id: str
    call: ProposedCall
    state: ApprovalState
    door: Door | None
    asked_at: float
    answered_at: float | None
    used_at: float | None
    expense: "ActExpense | None" = None

    @property
    def plan(self) -> Plan:
        """The plan that the person sees."""
        return self.call.plan


@dataclass(frozen=True, slots=True)
class ActExpense:
    """What an act really took."""

    cost_usd: float
    calls: int


@dataclass(frozen=True, slots=True)
class DailySpending:
    """The used part of a day's allowance, reservations included."""

    cost_usd: float
    calls: int
