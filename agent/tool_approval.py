"""Approval of tool calls: by the person, never by the model.

The workbench that was installed with kiln-chat asks the person itself, through elicitation, with a
plan and its cost. It also checks an approval id in a model's arguments. A tool of any other server
states its effect by annotations. A tool that reads runs at once. A tool that writes is announced.
For a tool that may destroy or send data out the person is asked here, before it is called.
"""

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Protocol

import anyio
import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT

from agent.events import ApprovalAsked, Reply


class Approver(Protocol):
    """The person, as a front reaches them."""

    async def decide(self, question: ApprovalAsked) -> Reply:
        """Put a question to the person. Questions come one after the other.

        A cancellation means that the turn was interrupted: close the question.
        """
        ...


Ask = Callable[[str], Coroutine[None, None, Reply]]
"""Puts a plan to the person."""


class ToolEffect(StrEnum):
    """The effect of calling a tool, by its annotations."""

    READS = "reads"
    WRITES = "writes"
    ASKS = "asks first"
    """It may spend or destroy; the person must agree."""


def effect_of(tool: types.Tool) -> ToolEffect:
    """Return the effect of a tool; without annotations, the worst that the protocol assumes."""
    hints = tool.annotations
    if hints is not None and hints.read_only_hint:
        return ToolEffect.READS
    if hints is not None and hints.destructive_hint is False and hints.open_world_hint is False:
        return ToolEffect.WRITES
    return ToolEffect.ASKS


def serialize(ask: Ask) -> Ask:
    """Return a function that asks the same, but waits while another question is open."""
    lock = anyio.Lock()

    async def ask_in_turn(plan: str) -> Reply:
        async with lock:
            return await ask(plan)

    return ask_in_turn


def elicitation_callback(ask: Ask) -> ElicitationFnT:
    """Return the callback by which the server puts a plan to the person: yes or no."""

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        fields = params.requested_schema.get("properties", {})
        if set(fields) != {"agree"}:
            return types.ElicitResult(action="decline")
        reply = await ask(params.message)
        if reply in {"accept", "remember"}:
            return types.ElicitResult(action="accept", content={"agree": True})
        return types.ElicitResult(action="cancel" if reply == "cancel" else "decline")

    return respond
