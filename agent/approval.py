"""Who is asked before something is done: the person, never the model."""

from collections.abc import Awaitable, Callable

import mcp_types as types
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT

Ask = Callable[[str], Awaitable[bool]]
"""Puts a plan to the person; true where they agree."""


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
