"""Approval of tool calls: by the person or by a rule of theirs, never by the model.

The workbench that was installed with kiln-chat puts its plans to the client itself, through
elicitation, with effects, cost and destination. It also checks an approval id in a model's
arguments. A tool of any other server states its effect by annotations, and is asked about before
it is called.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol, cast

import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.events import ApprovalAsked, Effect, FormAsked, Reply
from agent.forms import FormReply, fields_of

PLAN_KEY: Final = "x-kiln-mcp-plan"
"""Where the workbench puts the plan of a question as data, beside its words."""

RULE_KEY: Final = "x-kiln-mcp-rule"
"""Where the workbench finds, in an answer's `_meta`, which rule gave it in the person's place."""
PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Decision:
    """A reply, and who gave it: "person", or the rule that did."""

    reply: Reply
    by: str


class Questions(Protocol):
    """Has questions of servers answered, by a rule or by the person."""

    async def ask(self, question: ApprovalAsked) -> Decision:
        """Have a question answered; one question after the other."""
        ...

    async def fill(self, form: FormAsked) -> FormReply:
        """Have a form filled in; forms and questions come one after the other."""
        ...


class Approver(Protocol):
    """The person, as a front reaches them."""

    @property
    def by(self) -> str:
        """Who answers: "person", or what stands in for one, as the record names it."""
        ...

    async def fill(self, form: FormAsked) -> FormReply:
        """Put a form to the person."""
        ...

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


def elicitation_callback(questions: Questions, server: str = "") -> ElicitationFnT:
    """Return the callback by which a server asks the person: to approve a plan, or for answers.

    Args:
        questions: Has its questions answered.
        server: The name of the server; empty for the own workbench, whose plans are believed.
    """

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        parts = params.requested_schema.get("properties", {})
        if set(parts) != {"agree"}:
            return await _fill(questions, params, server)
        decision = await questions.ask(_question(params.message, parts["agree"], server))
        # Another server learns only the answer.
        is_rule = decision.by != PERSON and not server
        meta = {RULE_KEY: decision.by} if is_rule else None
        if is_yes(decision.reply):
            return types.ElicitResult(action="accept", content={"agree": True}, _meta=meta)
        action = "cancel" if decision.reply == "cancel" else "decline"
        return types.ElicitResult(action=action, _meta=meta)

    return respond


async def _fill(
    questions: Questions, params: types.ElicitRequestFormParams, server: str
) -> types.ElicitResult:
    fields = fields_of(params.requested_schema)
    if fields is None:
        return types.ElicitResult(action="decline")
    call = CURRENT_CALL.get(CurrentCall("", "", ""))
    reply = await questions.fill(FormAsked(call.id, server, params.message, fields))
    if reply.action != "accept":
        return types.ElicitResult(action=reply.action)
    return types.ElicitResult(action="accept", content={**reply.values})


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
