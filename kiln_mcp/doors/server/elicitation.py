"""The person, reached through the client: elicitation in both eras of the protocol.

Before 2026-07-28 the server pushes the question while the call waits. Since then the call is
answered with the question, and the client repeats the call with the person's answer.
"""

from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Person, Reply
from kiln_mcp.approvals.plan import fingerprint_of
from kiln_mcp.doors.server.context import Context

_FORM: Final[types.ElicitRequestedSchema] = {
    "type": "object",
    "properties": {
        "agree": {"type": "boolean", "title": "Do it", "description": "Whether to go ahead."}
    },
    "required": ["agree"],
}


COPILOT: Final = "kiln-chat"
PLAN_KEY: Final = "x-kiln-mcp-plan"
"""Where the copilot finds a plan as data. Other clients may refuse schemas with words of ours."""


def _form_for(context: Context, call: ProposedCall) -> types.ElicitRequestedSchema:
    """Return the form of a question; nothing is decided by the client's name."""
    client = context.session.client_params
    if client is None or client.client_info.name != COPILOT:
        return _FORM
    plan = call.plan
    consequences: list[JsonValue] = [item.value for item in sorted(plan.consequences)]
    data: dict[str, JsonValue] = {
        "tool": call.tool,
        "project": call.arguments.get("project", ""),
        "consequences": consequences,
        "highest_cost_usd": plan.highest_cost_usd,
        "likely_cost_usd": plan.likely_cost_usd,
        "destination": plan.destination,
    }
    agree = {**_FORM["properties"]["agree"], PLAN_KEY: data}
    return {**_FORM, "properties": {"agree": agree}}


def person_of(context: Context, params: types.CallToolRequestParams) -> Person | None:
    """Return the way to the person of a call; None if the client cannot ask."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return None
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return PersonLater(context, params)
    return PersonNow(context)


class PersonNow:
    """A person whom the client asks while the call waits."""

    door = Door.ELICITATION

    def __init__(self, context: Context) -> None:
        self._context = context

    async def ask(self, call: ProposedCall) -> Reply:
        """Push the question and wait for the answer."""
        # On the call's own stream: the session's stream may not be open yet.
        question = self._context.session.elicit_form(
            call.plan.text,
            _form_for(self._context, call),
            related_request_id=self._context.request_id,
        )
        try:
            return _reply(await question)
        except MCPError:  # the client could not ask after all
            return Reply.NONE


class PersonLater:
    """A person whom the client asks between two requests of the same call.

    Attributes:
        question: The question for the client to ask; None before `ask`.
    """

    door = Door.ELICITATION

    def __init__(self, context: Context, params: types.CallToolRequestParams) -> None:
        self._context = context
        self._answers = params.input_responses or {}
        self.question: types.InputRequiredResult | None = None

    async def ask(self, call: ProposedCall) -> Reply:
        """Return the answer that came with the call; without one, keep the question."""
        # The key is bound to call and plan, so that an answer counts for no other.
        bound: dict[str, JsonValue] = {
            "tool": call.tool,
            "arguments": call.arguments_fingerprint,
            "plan": call.plan.fingerprint,
        }
        key = f"approve-{fingerprint_of(bound)[:24]}"
        answer = self._answers.get(key)
        if isinstance(answer, types.ElicitResult):
            return _reply(answer)
        form = types.ElicitRequestFormParams(
            message=call.plan.text, requested_schema=_form_for(self._context, call)
        )
        request = types.ElicitRequest(params=form)
        self.question = types.InputRequiredResult(input_requests={key: request})
        return Reply.LATER


def _reply(answer: types.ElicitResult) -> Reply:
    """Return the meaning of a person's answer; one that is neither yes nor no is none."""
    if answer.action == "accept":
        replies = {True: Reply.ACCEPT, False: Reply.DECLINE}
        agrees = (answer.content or {}).get("agree")
        return replies[agrees] if isinstance(agrees, bool) else Reply.NONE
    return Reply.DECLINE if answer.action == "decline" else Reply.NONE
