"""Who is asked before something is done: the person, never the model.

A tool says by its annotations what calling it does. What reads runs at once; what writes is
announced; what may spend or destroy needs the person. The workbench's own tools of that kind
take `confirm` and ask by elicitation, with a plan and its cost; a tool that cannot ask in that
way is asked for here, before it is called. A model's word counts for nothing in either case:
`confirm` is neither shown to it nor taken from it.
"""

from collections.abc import Callable, Coroutine
from enum import StrEnum

import anyio
import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT

CONFIRM = "confirm"
"""The argument by which a tool of the workbench hears that the person agreed."""

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


def asks_itself(tool: types.Tool) -> bool:
    """Whether the tool's server puts its plan to the person."""
    return CONFIRM in tool.input_schema.get("properties", {})


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
