"""Who is asked before something is done: the person, never the model.

The workbench asks by itself, through elicitation, with a plan and its cost: whatever arguments a
model passes, an approval in them counts for nothing. A tool of another server says by its
annotations what calling it does. What reads runs at once; what writes is announced; what may
destroy something or reach out is asked for here, before it is called.
"""

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Final

import anyio
import mcp_types as types
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT

APPROVAL_ID: Final = "approval_id"
"""The argument for clients that cannot ask; of no use in this one."""
WORKBENCH: Final = "kiln-mcp"
"""The name of the server that asks by itself."""

Ask = Callable[[str], Coroutine[None, None, bool]]
"""Puts a plan to the person; true where they agree."""


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


def asks_itself(client: Client) -> bool:
    """Whether a connected server puts its plans to the person."""
    return client.server_info is not None and client.server_info.name == WORKBENCH


def one_at_a_time(ask: Ask) -> Ask:
    """Return the same question, never put while another one waits for its answer."""
    turn = anyio.Lock()

    async def ask_in_turn(plan: str) -> bool:
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
        if await ask(params.message):
            return types.ElicitResult(action="accept", content={"agree": True})
        return types.ElicitResult(action="decline")

    return respond
