"""Hand work orders out to the assistant that is connected, in batches."""

import anyio

from kiln_mcp.llm import Lease, OrderBatch
from kiln_mcp.operations.work_orders.answers import Batch, OrderItem, OrderMessage
from kiln_mcp.workbench.workspace import Workspace

MOST_TOKENS = 8000
"""The tokens of the orders that are handed out at once."""
CHARACTERS_A_TOKEN = 3
"""Fewer than in plain English, so that code and other languages stay within the limit."""
STEADY_S = 0.1
"""Orders that come within this time of each other are handed out together."""
LONGEST_GATHERING_S = 1.0


async def take_batches(
    workspace: Workspace, asker: str = "*", most_tokens: int = MOST_TOKENS
) -> list[Batch]:
    """Take work orders for the client that calls; those that it holds already come first.

    Args:
        workspace: Of the client.
        asker: Whose orders; may hold `*` as in file names.
        most_tokens: About how many tokens they may take; one order is taken in any case.
    """
    size = most_tokens * CHARACTERS_A_TOKEN
    batches = await workspace.engine.orders.take(size, Lease(workspace.client), asker)
    return [_as_answer(batch) for batch in batches]


async def takeable_count(workspace: Workspace, asker: str = "*") -> int:
    """Return how many orders the client that calls could take now."""
    return await workspace.engine.orders.takeable_count(workspace.client, asker)


async def has_orders(workspace: Workspace, asker: str) -> bool:
    """Return whether there are orders that the client that calls could take now."""
    return await takeable_count(workspace, asker) > 0


async def gather_orders(workspace: Workspace, asker: str = "*") -> None:
    """Wait until no more orders are being put out, so that a batch holds all of them."""
    count = await takeable_count(workspace, asker)
    with anyio.move_on_after(LONGEST_GATHERING_S):
        while count:
            await anyio.sleep(STEADY_S)
            previous, count = count, await takeable_count(workspace, asker)
            if count == previous:
                return


def _as_answer(batch: OrderBatch) -> Batch:
    return Batch(
        messages=[OrderMessage(role=item.role, content=item.content) for item in batch.frame],
        answer_schema=None if batch.schema is None else dict(batch.schema),
        choices=list(batch.choices) or None,
        items=[OrderItem(id=order_id, content=text) for order_id, text in batch.items],
    )
