"""Approval of tool calls: by the person or by a rule of theirs, never by the model.

The workbench that was installed with kiln-chat puts its plans to the client itself, through
elicitation, with effects, cost and destination. It also checks an approval id in a model's
arguments. A tool of any other server states its effect by annotations, and is asked about before
it is called.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol, cast

import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.events import ApprovalAsked, Effect, Reply

PLAN_KEY: Final = "x-kiln-mcp-plan"
"""Where the workbench puts the plan of a question as data, beside its words."""

Ask = Callable[[ApprovalAsked], Awaitable[Reply]]
"""Has a question answered, by a rule or by the person."""


class Approver(Protocol):
    """The person, as a front reaches them."""

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Put a question to the person. Questions come one after the other.

        A cancellation means that the turn was interrupted: close the question.
        """
        ...


@dataclass(frozen=True, slots=True)
class CurrentCall:
    """The call that a server works on while it asks."""

    id: str
    tool: str
    project: str


CURRENT_CALL: ContextVar[CurrentCall] = ContextVar("CURRENT_CALL")


class _PlanData(BaseModel):
    """A plan as the workbench writes it."""

    model_config = ConfigDict(frozen=True)

    tool: str
    project: str = ""
    consequences: frozenset[Effect]
    highest_cost_usd: float | None
    destination: str = ""


def effect_of(tool: types.Tool) -> Effect:
    """Return the gravest effect of a tool; without annotations, the worst that there is."""
    hints = tool.annotations
    if hints is not None and hints.read_only_hint:
        return Effect.READS
    if hints is None or hints.destructive_hint is not False:
        return Effect.DESTROYS
    return Effect.WRITES if hints.open_world_hint is False else Effect.SPENDS


def is_yes(reply: Reply) -> bool:
    """Return whether a reply lets the call be carried out."""
    return reply in {"accept", "remember"}


def elicitation_callback(ask: Ask, server: str = "") -> ElicitationFnT:
    """Return the callback by which a server puts a plan to the person: yes or no.

    Args:
        ask: Has the question answered.
        server: The name of the server; empty for the own workbench, whose plans are believed.
    """

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        fields = params.requested_schema.get("properties", {})
        if set(fields) != {"agree"}:
            return types.ElicitResult(action="decline")
        reply = await ask(_question(params.message, fields["agree"], server))
        if is_yes(reply):
            return types.ElicitResult(action="accept", content={"agree": True})
        return types.ElicitResult(action="cancel" if reply == "cancel" else "decline")

    return respond


def _question(plan: str, field: object, server: str) -> ApprovalAsked:
    call = CURRENT_CALL.get(CurrentCall("", "", ""))
    data = None if server else _plan_data(field)
    if data is None:
        words = f"The server {server} asks: {plan}" if server else plan
        return ApprovalAsked(
            call.id, words, (Effect.DESTROYS,), None, tool=call.tool, project=call.project
        )
    return ApprovalAsked(
        call.id,
        plan,
        tuple(sorted(data.consequences)),
        data.highest_cost_usd,
        (data.destination,) if data.destination else (),
        data.tool,
        data.project,
    )


def _plan_data(field: object) -> _PlanData | None:
    """Return the plan that a question holds as data; None if it holds none, or a malformed one."""
    if not isinstance(field, Mapping):
        return None
    try:
        return _PlanData.model_validate(cast("Mapping[str, object]", field).get(PLAN_KEY))
    except ValidationError:
        return None
