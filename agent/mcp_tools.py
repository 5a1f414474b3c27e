"""The tools of all connected servers, and the calls of them under the person's approval."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, cast

from pydantic import JsonValue

from agent.approval_rules import PLAN_NOTE, Approvals
from agent.events import ApprovalAsked, Effect, Reply
from agent.fences import CUT_MARK
from agent.modes import Mode
from agent.server_tools import ListedTool
from agent.stdio_requests import ToolProgress
from agent.tool_approval import CURRENT_CALL, PERSON, CurrentCall, is_yes
from agent.tool_choice import SEARCH, ToolChoice
from agent.tool_server import DECLINED, NOT_APPROVED, SEPARATOR, ToolResult, ToolServer
from kiln_mcp.llm import Tool, ToolCall
from storage.errors import Refusal
from storage.text.suggestions import did_you_mean

QUICK_WAIT_S: Final = 3.0
"""How long a call waits for its job before the talk goes on without it."""
_DECLINE_NOTE: Final = (
    "The person declined. Nothing has been done. Repeat the call only if they ask for it."
)
_RULE_NOTE: Final = (
    "Declined by {by}. Nothing has been done. Say what you would have done, and what it needs."
)
_CANCEL_NOTE: Final = (
    "The person closed the question without an answer. Nothing has been done. Ask them what they "
    "want before repeating the call."
)


class Toolbox:
    """The tools of the workbench and of the person's other servers.

    Attributes:
        approvals: Answers the questions of calls.
        choice: Which tools a model is shown.
    """

    def __init__(
        self,
        servers: Iterable[ToolServer],
        approvals: Approvals,
        *,
        shows_all: bool = False,
    ) -> None:
        """Set up.

        Args:
            servers: The connected servers, the workbench first.
            approvals: Answers the questions of calls.
            shows_all: Whether a model is shown all of them from the beginning.
        """
        self.approvals = approvals
        self._servers: dict[str, tuple[ToolServer, str]] = {}
        for server in servers:
            for name in server.tools:
                full_name = f"{server.name}{SEPARATOR}{name}" if server.name else name
                self._servers.setdefault(full_name, (server, name))
        self.choice = ToolChoice(self._by_name(), shows_all=shows_all)

    def _by_name(self) -> dict[str, ListedTool]:
        return {name: server.tools[own] for name, (server, own) in self._servers.items()}

    @property
    def tools(self) -> list[ListedTool]:
        """The tools by their full names, in the servers' order."""
        return [
            replace(server.tools[own], name=name) for name, (server, own) in self._servers.items()
        ]

    def definitions(self) -> list[Tool]:
        """Return the tools as a model is shown them."""
        return self.choice.definitions()

    def find(self, name: str) -> tuple[ToolServer, str]:
        """Return the server of a tool, and the tool's own name there.

        Raises:
            Refusal: There is none of this name.
        """
        if name not in self._servers:
            raise Refusal(
                "There is no tool '{name}'.{hint} /tools lists them.",
                name=name,
                hint=did_you_mean(name, self._servers),
            )
        return self._servers[name]

    def effect(self, name: str) -> Effect:
        """Return the gravest effect of a tool; one that does not exist does nothing."""
        if name not in self._servers:
            return Effect.READS
        server, own = self._servers[name]
        return server.effect(own)

    async def call(self, call: ToolCall, progress: ToolProgress) -> ToolResult:
        """Call a tool for a model.

        If approval is needed the question is answered by a rule or by the person: the server puts
        it through the client, or it is put here if the server does not ask.

        Raises:
            Refusal: There is no tool of this name, or the arguments are not a JSON object.
        """
        arguments = arguments_of(call)
        if call.name == SEARCH:
            return ToolResult(self.choice.search(str(arguments.get("words", ""))), failed=False)
        server, own = self.find(call.name)
        if self.approvals.mode is Mode.PLAN and server.effect(own) is not Effect.READS:
            return ToolResult(PLAN_NOTE, failed=False, refusal="only planned")
        project = str(arguments.get("project") or "")
        token = CURRENT_CALL.set(CurrentCall(call.id, call.name, project))
        try:
            if server.needs_question(own):
                decision = await self.approvals.ask(_question(call, server, own, project))
                if not is_yes(decision.reply):
                    return self._refused(call, decision.reply)
                server.agree(own)
            result = await server.call(own, _with_wait(server.tools[own], arguments), progress)
            return self._with_decider(call, result)
        finally:
            CURRENT_CALL.reset(token)

    def _refused(self, call: ToolCall, reply: Reply) -> ToolResult:
        is_decline = reply == "decline"
        text = _DECLINE_NOTE if is_decline else _CANCEL_NOTE
        refusal = DECLINED if is_decline else NOT_APPROVED
        return self._with_decider(call, ToolResult(text, failed=False, refusal=refusal))

    def _with_decider(self, call: ToolCall, result: ToolResult) -> ToolResult:
        """Return a result whose text does not take a rule's no for a person's."""
        by = self.approvals.take_decider(call.id)
        if result.refusal != DECLINED or by in {"", PERSON}:
            return result
        return replace(result, text=_RULE_NOTE.format(by=by))


def _with_wait(tool: ListedTool, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the arguments with a short wait, if the tool starts a job and none is named."""
    takes_wait = "wait_s" in tool.properties
    return {"wait_s": QUICK_WAIT_S, **arguments} if takes_wait else arguments


def _question(call: ToolCall, server: ToolServer, own: str, project: str) -> ApprovalAsked:
    tool, effect = server.tools[own], server.effect(own)
    text = json.dumps(arguments_of(call), ensure_ascii=False)
    harm = {
        Effect.READS: "reads, and its server sees the arguments",
        Effect.WRITES: "changes something",
        Effect.SPENDS: "may spend money, or send data out",
    }.get(effect, "may spend money or destroy something")
    destinations = (f"the server {server.name}",) if server.name else ()
    effects = (effect, Effect.SENDS) if server.name else (effect,)
    plan = f"{tool.title or tool.name} {harm}: {call.name} {text}"
    return ApprovalAsked(call.id, plan, effects, None, destinations, call.name, project)


def arguments_of(call: ToolCall) -> dict[str, JsonValue]:
    """Return the arguments of a call.

    Raises:
        Refusal: They are not a JSON object, or were too long.
    """
    if call.arguments.endswith(CUT_MARK):
        raise Refusal(
            "The arguments of {tool} are too long. Write them again with less, in several calls.",
            tool=call.name,
        )
    try:
        arguments = cast("JsonValue", json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError) as error:
        raise _malformed_arguments(call, str(error)) from error
    if not isinstance(arguments, dict):
        raise _malformed_arguments(call, f"they are a {type(arguments).__name__}")
    return arguments


def _malformed_arguments(call: ToolCall, reason: str) -> Refusal:
    return Refusal(
        "The arguments of {tool} are not a JSON object ({reason}). Write them again.",
        tool=call.name,
        reason=reason,
    )
