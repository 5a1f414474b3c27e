"""Approval of tool calls: by the person or by a rule of theirs, never by the model.

The workbench that was installed with kiln-chat puts its plans to the client itself, through
elicitation, with effects, cost and destination. It also checks an approval id in a model's
arguments. A tool of any other server states its effect by annotations, and is asked about before
it is called.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from agent.events import ApprovalAsked, Effect, FormAsked, Reply
from agent.forms import FormReply, FormValue, fields_of
from agent.server_tools import object_in

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


def is_yes(reply: Reply) -> bool:
    """Return whether a reply lets the call be carried out."""
    return reply in {"accept", "remember"}


@dataclass(frozen=True, slots=True)
class QuestionReply:
    """The reply to a question of a server.

    Attributes:
        action: What the person did with the question.
        content: What they filled in; None unless they accepted.
        rule: The rule that replied in their place, for the own workbench; empty if they did.
    """

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, FormValue] | None = None
    rule: str = ""

    def wire(self) -> dict[str, JsonValue]:
        """Return the reply as the protocol's result of an elicitation."""
        result: dict[str, JsonValue] = {"action": self.action}
        if self.content is not None:
            result["content"] = cast("JsonValue", dict(self.content))
        if self.rule:
            result["_meta"] = {RULE_KEY: self.rule}
        return result


async def answer_question(
    questions: Questions, message: str, schema: Mapping[str, JsonValue], server: str = ""
) -> QuestionReply:
    """Have the person answer a server's question: approve a plan, or fill in a form.

    Args:
        questions: Has its questions answered.
        message: Its words.
        schema: The form.
        server: The name of the server; empty for the own workbench, whose plans are believed.
    """
    parts = object_in(schema, "properties")
    if set(parts) != {"agree"}:
        return await _fill(questions, message, schema, server)
    decision = await questions.ask(_question(message, parts["agree"], server))
    # Another server learns only the answer.
    rule = "" if decision.by == PERSON or server else decision.by
    if is_yes(decision.reply):
        return QuestionReply("accept", {"agree": True}, rule)
    return QuestionReply("cancel" if decision.reply == "cancel" else "decline", None, rule)


async def _fill(
    questions: Questions, message: str, schema: Mapping[str, JsonValue], server: str
) -> QuestionReply:
    fields = fields_of(schema)
    if fields is None:
        return QuestionReply("decline")
    call = CURRENT_CALL.get(CurrentCall("", "", ""))
    reply = await questions.fill(FormAsked(call.id, server, message, fields))
    return QuestionReply(reply.action, {**reply.values} if reply.action == "accept" else None)


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
