"""The one way to ask a model anything: names, journal, corrections, retries."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from kiln_mcp.llm.backends import open_journal, open_limits
from kiln_mcp.llm.budget.budget import Budget, BudgetLimit, Past
from kiln_mcp.llm.budget.wait_policy import Listener, WaitPolicy
from kiln_mcp.llm.corrections import Tally
from kiln_mcp.llm.deltas import AnswerStream, StartedAgain
from kiln_mcp.llm.journal.expense import Expense
from kiln_mcp.llm.journal.in_flight import InFlightCalls
from kiln_mcp.llm.journal.journal import JournalEntry, Spending
from kiln_mcp.llm.limits.gate import Gates
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.providers.descriptions import ModelDescription
from kiln_mcp.llm.providers.host import WorkOrders
from kiln_mcp.llm.retries import Route, Sender
from kiln_mcp.llm.roster import Roster
from kiln_mcp.llm.settings import EngineSettings
from kiln_mcp.llm.single_call import Asking, Call

USUAL_INPUT: Final = 1200
USUAL_OUTPUT: Final = 300


class Engine:
    """Asks models: every call journalled, answered once, corrected and tried again.

    An async context manager; one object serves a whole process.
    """

    def __init__(self, settings: EngineSettings, models: Mapping[str, Model] | None = None) -> None:
        """Set up without any contact.

        Args:
            settings: What is configured.
            models: Further models by name, for example those of tests.
        """
        self.settings = settings
        self._journal = open_journal(settings)
        self._gates = Gates(open_limits(settings))
        self.orders = WorkOrders(settings.orders)
        self._roster = Roster(settings, models or {}, self._gates, self.orders)
        self._asking = Asking(self._journal, Sender(settings.attempts, settings.first_wait_s))
        self._budget: Budget | None = None
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        await self._journal.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._roster.close()
        await self.orders.close()
        await self._gates.close()
        await self._journal.close()

    @property
    def default_model(self) -> str:
        """The model for those who name none."""
        return self.settings.default_model

    def is_free(self, model: str) -> bool:
        """Whether asking this model costs nothing and asks no service but the person's own."""
        return self._roster.is_free(model)

    def check_name(self, model: str) -> None:
        """Refuse a name that no model can have, without asking anybody.

        Raises:
            UnknownModel: No model has this name.
            ModelError: The list that it may stand in cannot be used.
        """
        self._roster.check_name(model)

    async def check_ready(self, calls: Mapping[str, int]) -> None:
        """Refuse models that cannot answer: unknown ones, those without their key, servers down.

        A configured server is asked for its list of models; nobody else is asked anything.

        Args:
            calls: How often each model is to be asked; who is not asked need not be ready.

        Raises:
            ModelError: What keeps one of them from answering.
        """
        await self._roster.check_ready([model for model, times in calls.items() if times])

    def price_of(self, model: str, calls: int) -> float | None:
        """Return what so many calls of usual length cost in US dollars; None where not known."""
        price = self._roster.price(model)
        return None if price is None else calls * price.cost_usd(USUAL_INPUT, USUAL_OUTPUT)

    async def models(self, extra_names: Sequence[str] = ()) -> list[ModelDescription]:
        """Return what is configured, was asked or is named: what it can do, and what it costs."""
        return await self._roster.describe(extra_names)

    async def describe(self, model: str) -> ModelDescription:
        """Return what one model can do and costs, or what keeps it from answering."""
        return await self._roster.describe_one(model)

    async def budget(self, name: str, limit: BudgetLimit, seconds: float = 0.0) -> Budget:
        """Open a budget, with what was spent under its name before.

        Calls that were on their way when their process ended, and such as got no answer, count as
        spent.

        Args:
            name: Who spends, as a path: `jobs/4711`. Every call under it is journalled below it.
            limit: The most that may be spent, what was spent before included.
            seconds: How long was worked before.
        """
        losses = expense = await self._journal.unanswered_expense(name)
        for past in await self._journal.spending(f"{name}/*"):
            expense += replace(Expense.of(past.usage), unpriced_calls=past.unpriced_calls)
        past = Past(expense, losses, seconds)
        way = InFlightCalls(name, self._journal)
        return Budget(name, limit, way, past, self.settings.awaited_s)

    def within(self, budget: Budget) -> "Engine":
        """Return this engine with a budget that holds for every call made through it."""
        view = copy(self)
        view._budget = budget
        return view

    def with_listener(self, listener: Listener) -> "Engine":
        """Return this engine with somebody who hears what its calls have to wait for."""
        view = copy(self)
        view._listener = listener
        return view

    async def complete(
        self,
        request: ModelRequest,
        *,
        asker: str,
        fresh: bool = False,
        budget: Budget | None = None,
    ) -> ModelAnswer:
        """Answer a request, from the journal where it was answered before.

        An answer that does not fit the request's schema or choices is sent back with what is
        wrong, at most twice.

        Args:
            request: What is asked.
            asker: Who asks, as a path: `evals/run 123456789012`.
            fresh: Whether to ask the model again, even if the journal has an answer.
            budget: What may be spent; answers from the journal cost nothing.

        Raises:
            ModelError: One of its kinds; see `kiln_mcp.llm.errors`.
        """
        call = self._call(request.model, asker, budget, fresh=fresh)
        route = await self._roster.route(request.model, call.asker)
        tally = await self._ask(route, request, call)
        if tally.failed_before(call.own):
            tally = await self._ask(route, request, replace(call, fresh=True))
        return tally.answer()

    async def _ask(self, route: Route, request: ModelRequest, call: Call) -> Tally:
        tally = Tally(request)
        while (next_request := tally.next_request) is not None:
            tally.take(await self._asking.ask(route, next_request, call))
        return tally

    async def stream(
        self,
        request: ModelRequest,
        *,
        asker: str,
        fresh: bool = False,
        budget: Budget | None = None,
    ) -> AnswerStream:
        """Answer a request as `complete` does, and show the answer while it is being written.

        Yields deltas, then the whole answer, last. An answer from the journal comes at once. What
        fails before its first delta is tried again; what fails later is not. `StartedAgain` says
        that what came so far did not fit and is corrected. Close it (`contextlib.aclosing`) to
        stop the model; what was written by then counts as spent and is not journalled.

        Raises:
            ModelError: One of its kinds; see `kiln_mcp.llm.errors`.
        """
        call = self._call(request.model, asker, budget, fresh=fresh)
        route = await self._roster.route(request.model, call.asker)
        tally = Tally(request)
        while True:
            if tally.failed_before(call.own):
                yield StartedAgain(tally.problem or "")
                tally, call = Tally(request), replace(call, fresh=True)
            if (next_request := tally.next_request) is None:
                break
            if tally.problem is not None:
                yield StartedAgain(tally.problem)
            async with aclosing(self._asking.stream(route, next_request, call)) as parts:
                async for part in parts:
                    if isinstance(part, JournalEntry):
                        tally.take(part)
                    else:
                        yield part
        yield tally.answer()

    def _call(self, model: str, asker: str, budget: Budget | None, *, fresh: bool) -> Call:
        budget = budget or self._budget
        asker = f"{budget.name}/{asker}" if budget else asker
        return Call(asker, fresh, budget, WaitPolicy(model, budget, self._listener))

    async def unanswered_expense(self, budget: str) -> Expense:
        """Return what was sent under a budget and not answered: on its way, or lost with it."""
        return await self._journal.unanswered_expense(budget)

    async def count_answers(self, asker: str = "*") -> int:
        """Return how many calls were answered; `asker` may hold `*` as in file names."""
        return sum(spending.usage.calls for spending in await self.spending(asker))

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return what was spent on each model; `asker` may hold `*` as in file names."""
        return await self._journal.spending(asker)
