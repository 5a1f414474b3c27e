"""A concurrent loop that loses nothing at the end of a budget."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from kiln_mcp.llm.budget.budget import AWAITED_S
from kiln_mcp.llm.errors import BudgetSpent

T = TypeVar("T")
Width = Callable[[], int]
"""Returns how many items to open at once now."""


async def for_each(things: Iterable[T], do: Callable[[T], Awaitable[None]], width: Width) -> None:
    """Call a function with each item, several at once, in the order of the items.

    The width is asked again after each item, and the number of items at once follows it.

    If one call reaches the end of the budget, no further call begins. The running ones may finish,
    because their answers may be in flight and paid for.

    Args:
        things: The items.
        do: What is called.
        width: How many at once, at least one.

    Raises:
        BudgetSpent: The first one, after the running calls have ended.
    """
    refusals: list[BudgetSpent] = []
    async with anyio.create_task_group() as group:
        _Loop(iter(things), do, width, group, refusals).widen()
    if refusals:
        raise refusals[0]


@dataclass(slots=True)
class _Loop(Generic[T]):
    """The open items of one loop, each with a task of its own."""

    things: Iterator[T]
    do: Callable[[T], Awaitable[None]]
    width: Width
    group: TaskGroup
    refusals: list[BudgetSpent]
    open_items: int = 0

    def widen(self) -> int:
        """Open as many items as the width allows now; return the width."""
        width = max(1, self.width())
        while self.open_items < width and (item := self._next()):
            self.open_items += 1
            self.group.start_soon(self._work, item)
        return width

    def _next(self) -> tuple[T] | None:
        """Return the next item; None if there is none, or none is to begin."""
        return None if self.refusals else next(zip(self.things), None)

    async def _work(self, item: tuple[T] | None) -> None:
        """Do item after item, until there are more tasks than the width allows."""
        while item is not None:
            try:
                await self.do(item[0])
            except BudgetSpent as refusal:
                self.refusals.append(refusal)
                scope = self.group.cancel_scope
                scope.deadline = min(scope.deadline, anyio.current_time() + AWAITED_S)
            width = self.widen()
            item = self._next() if self.open_items <= width else None
        self.open_items -= 1
