"""Reservations: what a call can take is reserved before it is sent, and settled after."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from kiln_mcp.llm.answer_schemas import choices_instruction, instruction_for
from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.messages import ModelRequest, Usage
from kiln_mcp.llm.prices import Price
from kiln_mcp.llm.response_cache.expense import NOTHING, Expense

TOKENS_PER_MESSAGE: Final = 16
"""An upper bound of what a chat template adds to a message."""


def maximum_expense(request: ModelRequest, price: Price | None) -> Expense:
    """Return an upper bound of what a call takes; a token is at least one byte of text."""
    texts = [message.content for message in request.messages]
    for message in request.messages:
        texts += [f"{call.id}{call.name}{call.arguments}" for call in message.tool_calls]
        texts.append(message.tool_call_id or "")
    for tool in request.tools:
        texts += [tool.name, tool.description, json.dumps(tool.parameters, ensure_ascii=False)]
    if request.schema is not None:
        texts.append(instruction_for(request.schema))
    if request.choices:
        texts.append(choices_instruction(request.choices))
    parts = 1 + len(request.messages) + len(request.tools)
    parts += sum(len(message.tool_calls) for message in request.messages)
    read = sum(len(text.encode()) for text in texts) + parts * TOKENS_PER_MESSAGE
    written_tokens = read if request.comes_again else 0
    cost = (
        0.0
        if price is None
        else price.cost_usd(read, request.max_tokens, written_tokens=written_tokens)
    )
    return Expense(cost, read + request.max_tokens, 1, 1 if price is None else 0)


class Reservation:
    """What one call takes from a budget, or from none.

    Attributes:
        usage: What has been paid for.
        is_kept: Whether the response cache holds the answer.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        model: str = "",
        maximum: Expense = NOTHING,
        *,
        withdraws: bool = False,
    ) -> None:
        """Set up, without reserving anything yet.

        Args:
            budget: The budget; None for no limit.
            model: The model that is asked.
            maximum: What the call can take by its request.
            withdraws: Whether a cancelled call is withdrawn, and costs nothing.
        """
        self.usage = Usage(calls=0)
        self.is_kept = False
        self._budget = budget
        self._model = model
        self._estimate = maximum
        self._maximum = maximum
        self._withdraws = withdraws
        self._holds = False
        self._is_sent = False

    async def hold(self) -> None:
        """Reserve what the call can take, unless that is done.

        Raises:
            BudgetSpent: The rest of the budget is too small.
        """
        if self._budget is not None and not self._holds:
            self._maximum = await self._budget.reserve(self._model, self._estimate)
            self._holds = True

    async def begin(self) -> None:
        """Record that the call is sent now: if this process is killed, it counts as spent.

        Raises:
            NotSent: It must not be sent now; call `renew`, then try again.
        """
        if self._budget is not None and not self._is_sent:
            await self._budget.send(self._model, self._maximum)
            self._is_sent = True

    async def renew(self) -> None:
        """Free the reservation of a call that was not sent, and reserve again.

        Raises:
            BudgetSpent: The rest of the budget is too small.
        """
        self._end(NOTHING)
        await self.hold()

    def pay(self, usage: Usage) -> None:
        """Record what the answer took, before another call takes its turn."""
        self.usage = usage
        if self._budget is not None and self._is_sent:
            actual = Expense.of(usage)
            self._budget.learn(self._model, self._estimate, actual)
            extra = actual.or_more(self._maximum) - self._maximum
            self._budget.raise_reservation(extra)
            self._maximum += extra

    def record_refusal(self) -> None:
        """Record that the call was refused, so that it is not in flight until it is sent again."""
        if self._budget is not None and self._is_sent:
            self._budget.arrive(self._maximum, NOTHING)
            self._is_sent = False

    def record_loss(self) -> None:
        """Count the whole reservation as spent: the call got no answer, and may have to be paid.

        To be sent again, it must be reserved again.
        """
        self._end(self._maximum)

    def settle(self, failure: BaseException | None) -> None:
        """Count what the call took in the end.

        Args:
            failure: Why it got no answer; None if it got one.
        """
        if isinstance(failure, ModelError) and failure.is_unanswered:
            self._end(self._maximum)
        elif self.usage.calls:
            self._end(Expense.of(self.usage))
        elif failure is None or isinstance(failure, Exception):
            self._end(NOTHING)  # it was refused, so it cost nothing
        elif self._withdraws:
            self._withdraw()
        else:
            self._end(self._maximum)  # it was given up

    def _withdraw(self) -> None:
        if self._budget is not None and self._is_sent:
            self._budget.withdrawn += 1
        self._end(NOTHING)

    def _end(self, actual: Expense) -> None:
        if self._budget is None or not self._holds:
            return
        actual = actual if self._is_sent else NOTHING
        loss = NOTHING if self.is_kept else actual
        if self._is_sent:
            self._budget.arrive(self._maximum, loss)
        self._budget.settle(self._maximum, actual, loss)
        self._holds = self._is_sent = False


@asynccontextmanager
async def hold_reservation(reservation: Reservation) -> AsyncGenerator[Reservation]:
    """Reserve what a call can take for the time of the body; settle it at the end.

    Raises:
        BudgetSpent: The call does not fit into the rest of the budget.
    """
    await reservation.hold()
    try:
        yield reservation
    except BaseException as error:
        reservation.settle(error)
        raise
    else:
        reservation.settle(None)
