"""Results and proposals of capabilities, and the context that a call needs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.workbench.person_questions import PersonQuestion

ResultT = TypeVar("ResultT", covariant=True)
JsonObject = Mapping[str, JsonValue]


class Runs(StrEnum):
    """How a call through a door is carried out."""

    AT_ONCE = "at once"
    AS_JOB = "as a job"
    """It may take long: it continues when its caller has gone or the process was killed."""


class CallContext(Protocol):
    """What a capability's first parameter must offer."""

    async def approve(self, call: ProposedCall, effect: Effect) -> None:
        """Return if the call may be carried out.

        Raises:
            WorkbenchError: A person must approve it first, or declined.
        """
        ...


class Result(BaseModel):
    """The result of a capability: frozen, compact, the same data for every door."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def person_question(cls, data: JsonObject) -> PersonQuestion | None:
        """Return the question to the person that a result ends with; None if it asks nothing.

        Args:
            data: The result as a door returns it.
        """
        return None

    @classmethod
    def after_answer(
        cls, data: JsonObject, question: PersonQuestion, answer: str, reply: JsonObject
    ) -> tuple[JsonObject, PersonQuestion | None]:
        """Return the result once a question aside is answered, and what follows from the answer.

        Args:
            data: The result that asks, as a door returns it.
            question: The question.
            answer: The person's answer.
            reply: The result of the call that took the answer.
        """
        return data, None


@dataclass(frozen=True, slots=True)
class Proposal(Generic[ResultT]):
    """What a capability will do once it is approved. Nothing has been done yet.

    Attributes:
        plan: What will be done, what it costs, and where data goes.
        carry_out: Does it.
        before_approval: Does the part that needs no approval, given the id of the approval that
            a person may still give; None if there is no such part.
    """

    plan: Plan
    carry_out: Callable[[], Awaitable[ResultT]]
    before_approval: Callable[[str], Awaitable[ResultT]] | None = None
