"""A concurrent loop that loses nothing at the end of a budget."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import anyio

from kiln_mcp.llm.budget.budget import AWAITED_S
from kiln_mcp.llm.errors import BudgetSpent

CONCURRENCY: Final = 16

T = TypeVar("T")


async def for_each(
    things: Iterable[T], do: Callable[[T], Awaitable[None]], at_once: int = CONCURRENCY
) -> None:
    """Call a function with each item, several at once.

    If one call reaches the end of the budget, no further call begins. The running ones may finish,
    because their answers may be in flight and paid for.

    Raises:
        BudgetSpent: The first one, after the running calls have ended.
    """
    waiting = iter(things)
    refusals: list[BudgetSpent] = []

    async def work() -> None:
        for thing in waiting:
            if refusals:
                return
            try:
                await do(thing)
            except BudgetSpent as refusal:
                refusals.append(refusal)
                workers.cancel_scope.deadline = min(
                    workers.cancel_scope.deadline, anyio.current_time() + AWAITED_S
                )

    async with anyio.create_task_group() as workers:
        for _ in range(at_once):
            workers.start_soon(work)
    if refusals:
        raise refusals[0]
