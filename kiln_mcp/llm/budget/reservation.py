"""One call under a budget: what it can take is kept for it, until it is known what it took."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.journal.spent import NOTHING, Spent
from kiln_mcp.llm.messages import ModelRequest, Usage
from kiln_mcp.llm.prices import Price
from kiln_mcp.llm.schemas import choices_instruction, instruction_for

TOKENS_PER_MESSAGE: Final = 16
"""An upper bound of what a chat template adds to a message."""


def most_it_can_take(request: ModelRequest, price: Price | None) -> Spent:
    """Return an upper bound of what a call takes: a token is at least one byte of its text."""
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
    cost = 0.0 if price is None else price.cost_usd(read, request.max_tokens)
    return Spent(cost, read + request.max_tokens, 1, 1 if price is None else 0)


class Reservation:
    """A call, under a budget or under none.

    Attributes:
        usage: What has been paid for.
        journalled: Set when the journal knows of that.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        model: str = "",
        most: Spent = NOTHING,
        *,
        withdraws: bool = False,
    ) -> None:
        """Set up, without holding anything yet.

        Args:
            budget: What it is held by; None for nothing.
            model: Whom it asks.
            most: What it can take at most, as far as can be told from its request.
            withdraws: Whether it is withdrawn where it is given up, and has cost nothing.
        """
        self.usage = Usage(calls=0)
        self.journalled = False
        self._budget = budget
        self._model = model
        self._asked = most
        self._most = most
        self._withdraws = withdraws
        self._holds = False
        self._sent = False

    async def hold(self) -> None:
        """Hold what the call can take at most, where that is not held.

        Raises:
            BudgetSpent: It is not left.
        """
        if self._budget is not None and not self._holds:
            self._most = await self._budget.hold_back(self._model, self._asked)
            self._holds = True

    async def begin(self) -> None:
        """Note that it is sent now: if this process is killed, it counts as spent.

        Raises:
            NotSent: It must not be sent any more; `hold_again` says what becomes of it.
        """
        if self._budget is not None and not self._sent:
            await self._budget.send(self._model, self._most)
            self._sent = True

    async def hold_again(self) -> None:
        """Give back what is held for a call that was not sent, and hold it once more.

        Raises:
            BudgetSpent: It is not left.
        """
        self._end(NOTHING)
        await self.hold()

    def pay(self, usage: Usage) -> None:
        """Note what its answer took, before another call takes its turn."""
        self.usage = usage
        if self._budget is not None and self._sent:
            taken = Spent.of(usage)
            self._budget.learn(self._model, self._asked, taken)
            more = taken.or_more(self._most) - self._most
            self._budget.keep_more(more)
            self._most += more

    def come_back(self) -> None:
        """Note that it was refused, so that it is on its way no more until it is sent again."""
        if self._budget is not None and self._sent:
            self._budget.arrive(self._most, NOTHING)
            self._sent = False

    def lose(self) -> None:
        """Count what was sent as spent, at its most: it got no answer, and may have to be paid.

        To be sent again, it must be held again.
        """
        self._end(self._most)

    def settle(self, failure: BaseException | None) -> None:
        """Count what it took in the end.

        Args:
            failure: What kept it from its answer; None where nothing did.
        """
        if isinstance(failure, ModelError) and failure.unanswered:
            self._end(self._most)
        elif self.usage.calls:
            self._end(Spent.of(self.usage))
        elif failure is None or isinstance(failure, Exception):
            self._end(NOTHING)  # it was refused, so it cost nothing
        elif self._withdraws:
            self._withdraw()
        else:
            self._end(self._most)  # it was given up

    def _withdraw(self) -> None:
        if self._budget is not None and self._sent:
            self._budget.withdrawn += 1
        self._end(NOTHING)

    def _end(self, taken: Spent) -> None:
        if self._budget is None or not self._holds:
            return
        taken = taken if self._sent else NOTHING
        lost = NOTHING if self.journalled else taken
        if self._sent:
            self._budget.arrive(self._most, lost)
        self._budget.settle(self._most, taken, lost)
        self._holds = self._sent = False


@asynccontextmanager
async def held(reservation: Reservation) -> AsyncGenerator[Reservation]:
    """Hold what a call can take at most; wait while calls on their way may still free it.

    Raises:
        BudgetSpent: The call does not fit into what is left.
    """
    await reservation.hold()
    try:
        yield reservation
    except BaseException as error:
        reservation.settle(error)
        raise
    else:
        reservation.settle(None)
