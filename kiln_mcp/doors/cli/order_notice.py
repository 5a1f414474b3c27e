"""The notice that questions to the model `host` wait for an assistant."""

from contextlib import suppress
from pathlib import Path

import anyio
import click

from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.providers.work_orders import WorkOrders


def announce_orders(file: Path) -> bool:
    """Print where to answer if a question waits; return whether one does.

    Args:
        file: The work orders of the home.
    """
    return print_notice(anyio.run(_open_count, file))


def print_notice(waiting: int) -> bool:
    """Print where to answer so many questions; return whether there are any."""
    if not waiting:
        return False
    waits = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
    click.echo(
        f"kiln-mcp: {waits} for the model 'host', which is a connected assistant: tell it to "
        "answer the work orders. You can answer yourself in another shell with kiln-mcp "
        "answer-work-orders.",
        err=True,
    )
    return True


async def _open_count(file: Path) -> int:
    orders = WorkOrders(file)
    try:
        with suppress(DatabaseFailure):  # the call that asks the host reports it
            return await orders.open_count()
        return 0
    finally:
        await orders.close()
