"""The person, reached through the client: elicitation in both eras of the protocol.

Before 2026-07-28 the server pushes the question while the call waits. Since then the call is
answered with the question, and the client repeats the call with the person's answer.
"""

from enum import Enum
from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.plan import fingerprint_of
from kiln_mcp.doors.server.context import Context
from kiln_mcp.workbench.person_questions import PersonQuestion

_FORM: Final[types.ElicitRequestedSchema] = {
    "type": "object",
    "properties": {
        "agree": {"type": "boolean", "title": "Do it", "description": "Whether to go ahead."}
    },
    "required": ["agree"],
}
_CHOICE: Final = "choice"
_OWN_WORDS: Final = "own_words"
COPILOT: Final = "kiln-chat"
PLAN_KEY: Final = "x-kiln-mcp-plan"
"""Where the copilot finds a plan as data. Other clients may refuse schemas with words of ours."""
RULE_KEY: Final = "x-kiln-mcp-rule"
"""Where the copilot says in an answer's `_meta` which rule answered in place of the person."""
_LONGEST_RULE: Final = 120


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


class Later(Enum):
    """The client asks between two requests, so there is no answer yet."""

    LATER = "later"


LATER: Final = Later.LATER


def person_of(
    context: Context, params: types.CallToolRequestParams
) -> "PersonNow | PersonLater | None":
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
        self.rule = ""

    async def ask(self, call: ProposedCall) -> Reply:
        """Push the question and wait for the answer."""
        # On the call's own stream: the session's stream may not be open yet.
        question = self._context.session.elicit_form(
            call.plan.text,
            _form_for(self._context, call),
            related_request_id=self._context.request_id,
        )
        try:
            answer = await question
        except MCPError:  # the client could not ask after all
            return Reply.NONE
        self.rule = _rule_in(answer)
        return _reply(answer)

    async def answer(self, question: PersonQuestion) -> str | None:
        """Push a question of the work, and return the person's answer; None if they gave none."""
        form = self._context.session.elicit_form(
            question.text, _answer_form(question), related_request_id=self._context.request_id
        )
        try:
            return _answer_to(question, await form)
        except MCPError:
            return None


class PersonLater:
    """A person whom the client asks between two requests of the same call.

    Attributes:
        question: The question for the client to ask; None before `ask`.
        rule: The rule that answered in the person's place; empty if they did.
    """

    door = Door.ELICITATION

    def __init__(self, context: Context, params: types.CallToolRequestParams) -> None:
        self._context = context
        self._answers = params.input_responses or {}
        self.question: types.InputRequiredResult | None = None
        self.rule = ""

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
            self.rule = _rule_in(answer)
            return _reply(answer)
        self._keep(key, call.plan.text, _form_for(self._context, call))
        return Reply.LATER

    async def answer(self, question: PersonQuestion) -> str | Later | None:
        """Return the answer that came with the call, None for no answer; or keep the question."""
        bound: dict[str, JsonValue] = {
            "tool": question.tool,
            "arguments": question.arguments,
            "question": question.id,
            "text": question.text,
        }
        key = f"answer-{fingerprint_of(bound)[:24]}"
        if isinstance(answer := self._answers.get(key), types.ElicitResult):
            return _answer_to(question, answer)
        self._keep(key, question.text, _answer_form(question))
        return LATER

    def _keep(self, key: str, text: str, schema: types.ElicitRequestedSchema) -> None:
        form = types.ElicitRequestFormParams(message=text, requested_schema=schema)
        request = types.ElicitRequest(params=form)
        self.question = types.InputRequiredResult(input_requests={key: request})


def _reply(answer: types.ElicitResult) -> Reply:
    """Return the meaning of a person's answer; one that is neither yes nor no is none."""
    if answer.action == "accept":
        replies = {True: Reply.ACCEPT, False: Reply.DECLINE}
        agrees = (answer.content or {}).get("agree")
        return replies[agrees] if isinstance(agrees, bool) else Reply.NONE
    return Reply.DECLINE if answer.action == "decline" else Reply.NONE


def _rule_in(answer: types.ElicitResult) -> str:
    rule = (answer.meta or {}).get(RULE_KEY)
    return rule[:_LONGEST_RULE] if isinstance(rule, str) else ""


def _answer_form(question: PersonQuestion) -> types.ElicitRequestedSchema:
    """Return the form of a question: its options, and room for words of one's own."""
    words: dict[str, str] = {
        "type": "string",
        "title": "Or in your own words" if question.options else "Answer",
    }
    if not question.options:
        return {"type": "object", "properties": {_OWN_WORDS: words}, "required": [_OWN_WORDS]}
    choice = {"type": "string", "title": "Answer", "enum": list(dict.fromkeys(question.options))}
    if not question.has_own_words:
        return {"type": "object", "properties": {_CHOICE: choice}, "required": [_CHOICE]}
    return {"type": "object", "properties": {_CHOICE: choice, _OWN_WORDS: words}, "required": []}


def _answer_to(question: PersonQuestion, answer: types.ElicitResult) -> str | None:
    """Return the person's own words, or else their choice; None if they gave neither."""
    content = answer.content or {}
    if answer.action != "accept":
        return None
    if not question.has_own_words:
        choice = content.get(_CHOICE)
        return choice if isinstance(choice, str) and choice in question.options else None
    texts = (content.get(field) for field in (_OWN_WORDS, _CHOICE))
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)
