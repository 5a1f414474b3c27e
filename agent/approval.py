"""Who is asked before something is done: the person, never the model.

The workbench that kiln-chat brought along asks by itself, through elicitation, with a plan and its
cost; an approval in a model's arguments is checked there. A tool of another server, whatever name
that gives itself, says by its annotations what calling it does. What reads runs at once; what
writes is announced; what may destroy something or reach out is asked for here, before it is called.
"""

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Literal

import anyio
import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT

Reply = Literal["accept", "decline", "cancel"]
"""What came of a question; cancel: it was closed unanswered, which is neither yes nor no."""

Ask = Callable[[str], Coroutine[None, None, Reply]]
"""Puts a plan to the person."""


class Effect(StrEnum):
    """What calling a tool does to the world, as far as its annotations say."""

    READS = "reads"
    WRITES = "writes"
    ASKS = "asks first"
    """It may spend or destroy: the person must agree."""


def effect_of(tool: types.Tool) -> Effect:
    """Return what calling a tool does; the worst that the protocol assumes where it is silent."""
    hints = tool.annotations
    if hints is not None and hints.read_only_hint:
        return Effect.READS
    if hints is not None and hints.destructive_hint is False and hints.open_world_hint is False:
        return Effect.WRITES
    return Effect.ASKS


def one_at_a_time(ask: Ask) -> Ask:
    """Return the same question, never put while another one waits for its answer."""
    turn = anyio.Lock()

    async def ask_in_turn(plan: str) -> Reply:
        async with turn:
            return await ask(plan)

    return ask_in_turn


def elicitation_through(ask: Ask) -> ElicitationFnT:
    """Return the callback by which the server reaches the person: a plan, and yes or no."""

    async def respond(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        fields = params.requested_schema.get("properties", {})
        if set(fields) != {"agree"}:
            return types.ElicitResult(action="decline")
        reply = await ask(params.message)
        if reply == "accept":
            return types.ElicitResult(action="accept", content={"agree": True})
        return types.ElicitResult(action=reply)

    return respond
