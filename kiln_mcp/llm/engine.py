"""The engine: the one way to ask a model anything."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from kiln_mcp.llm.abilities import Abilities
from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.backends import open_limits, open_response_cache
from kiln_mcp.llm.budget.budget import Budget, BudgetLimit, Past
from kiln_mcp.llm.call_counter import CallCounter
from kiln_mcp.llm.corrections import Corrections
from kiln_mcp.llm.deltas import AnswerRestart, AnswerStream
from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.for_each import Width
from kiln_mcp.llm.limits.gauge import Gauge
from kiln_mcp.llm.limits.rate_limiter import RateLimiters
from kiln_mcp.llm.limits.wait_policy import Listener, WaitPolicy
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.model_registry import ModelRegistry
from kiln_mcp.llm.providers.descriptions import ModelDescription
from kiln_mcp.llm.providers.work_orders import WorkOrders
from kiln_mcp.llm.response_cache.cache import CacheEntry, Spending
from kiln_mcp.llm.response_cache.expense import Expense
from kiln_mcp.llm.response_cache.in_flight import InFlightCalls
from kiln_mcp.llm.retries import RetryPolicy, Route
from kiln_mcp.llm.single_flight import Call, SingleFlight

USUAL_INPUT: Final = 1200
USUAL_OUTPUT: Final = 300
ITEMS_A_CALL: Final = 2
"""Items that a run opens for each call that its servers allow: one is asked, one is saved."""
ANY_STATE: Final[frozenset[AnswerState]] = frozenset({"complete", "truncated", "refused", "empty"})


class Engine:
    """Asks models: every call is cached, shared with equal calls, corrected and retried.

    An async context manager; one object serves a whole process.
    """

    def __init__(self, settings: EngineSettings, models: Mapping[str, Model] | None = None) -> None:
        """Set up without any contact.

        Args:
            settings: The configuration.
            models: Further models by name, for example those of tests.
        """
        self.settings = settings
        self._cache = open_response_cache(settings)
        self._rate_limiters = RateLimiters(open_limits(settings))
        self.orders = WorkOrders(settings.orders)
        self._roster = ModelRegistry(settings, models or {}, self._rate_limiters, self.orders)
        self._single_flight = SingleFlight(
            self._cache, RetryPolicy(settings.attempts, settings.first_wait_s)
        )
        self._budget: Budget | None = None
        self._listener: Listener | None = None
        self._gauge = Gauge()
        self._counter = CallCounter()

    async def __aenter__(self) -> Self:
        await self._cache.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._roster.close()
        await self.orders.close()
        await self._rate_limiters.close()
        await self._cache.close()

    @property
    def default_model(self) -> str:
        """The model of calls that name none."""
        return self.settings.default_model

    def is_free(self, model: str) -> bool:
        """Return whether this model costs nothing and runs at no other service."""
        return self._roster.is_free(model)

    def check_name(self, model: str) -> None:
        """Refuse a name that no model can have, without asking anybody.

        Raises:
            UnknownModel: No model has this name.
            ModelError: The list of servers cannot be used.
        """
        self._roster.check_name(model)

    async def check_ready(self, calls: Mapping[str, int]) -> None:
        """Refuse models that cannot answer: unknown names, missing keys, servers that are down.

        A configured server is asked for its list of models. No other service is contacted.

        Args:
            calls: How often each model will be asked. A model with no calls need not be ready.

        Raises:
            ModelError: One of them cannot answer.
        """
        await self._roster.check_ready([model for model, times in calls.items() if times])

    async def prepare(self, model: str) -> None:
        """Import what the first request to a model needs: seconds, for hosted models.

        Run it beside other work. It contacts nobody, and a name that no model has is no error.
        """
        await self._roster.prepare(model)

    def register(self, name: str, route: Route) -> None:
        """Make a program under test known by its name, so that it is asked like a model.

        Args:
            name: Its name, which begins with `program/`.
            route: How it is asked; a program that is known keeps its rate limiter.
        """
        self._roster.register(name, route)

    def program(self, name: str) -> Model | None:
        """Return the program of a name; None if none is registered."""
        return self._roster.program(name)

    def price_of(self, model: str, calls: int) -> float | None:
        """Return the cost in US dollars of some calls of usual length; None if not known."""
        price = self._roster.price(model)
        return None if price is None else calls * price.cost_usd(USUAL_INPUT, USUAL_OUTPUT)

    def width(self, models: Iterable[str]) -> Width:
        """Return a function for `for_each`: how many items to open at once.

        It is asked before each item, and follows the servers: their settings, what was learned of
        them, and the list of servers. The rate limiter holds each server to its limit, and shares
        it fairly among jobs.

        Args:
            models: The models that are asked.
        """
        names = tuple(models)

        def width() -> int:
            return ITEMS_A_CALL * max(1, self._roster.width(names))

        return width

    async def models(self, extra_names: Sequence[str] = ()) -> list[ModelDescription]:
        """Describe the models that are configured, were asked, or are named here."""
        return await self._roster.describe(extra_names)

    async def describe(self, model: str) -> ModelDescription:
        """Describe a model: abilities and price, or why it cannot answer."""
        return await self._roster.describe_one(model)

    def abilities(self, model: str) -> Abilities:
        """Return what is known of a model's abilities; nobody is asked.

        Raises:
            ModelError: The list of servers cannot be used.
        """
        return self._roster.abilities(model)

    def forget_dialect(self, model: str) -> None:
        """Forget what was learned of how a model is to be asked."""
        self._roster.forget(model)

    async def budget(self, name: str, limit: BudgetLimit, seconds: float = 0.0) -> Budget:
        """Open a budget, with all that was spent under its name before.

        Calls count as spent if they got no answer, or were in flight when their process ended.

        Args:
            name: Who spends, as a path: `jobs/4711`. It is the prefix of its calls' askers.
            limit: The most that may be spent, earlier attempts included.
            seconds: How long earlier attempts worked.
        """
        losses = expense = await self._cache.unanswered_expense(name)
        for past in await self._cache.spending(f"{name}/*"):
            expense += replace(Expense.of(past.usage), unpriced_calls=past.unpriced_calls)
        past = Past(expense, losses, seconds)
        in_flight_calls = InFlightCalls(name, self._cache)
        return Budget(name, limit, in_flight_calls, past, self.settings.awaited_s)

    def within(self, budget: Budget) -> "Engine":
        """Return this engine with a budget for every call made through it."""
        view = copy(self)
        view._budget = budget
        return view

    async def pause_point(self) -> None:
        """Wait for ever if the job of this engine is to pause; for work that makes no calls."""
        if self._budget is not None:
            await self._budget.pause_point()

    def with_listener(self, listener: Listener, gauge: Gauge | None = None) -> "Engine":
        """Return this engine with a listener that is told why its calls wait.

        Args:
            listener: Is told.
            gauge: Counts the calls in flight; None for the one of this engine.
        """
        view = copy(self)
        view._listener = listener
        view._gauge = gauge or self._gauge
        return view

    def with_counter(self, counter: CallCounter) -> "Engine":
        """Return this engine with a counter of the calls that `complete` sends through it.

        Answers that the same asker has paid for in an earlier attempt of the job count as well.
        """
        view = copy(self)
        view._counter = counter
        return view

    async def complete(
        self,
        request: ModelRequest,
        *,
        asker: str,
        fresh: bool = False,
        budget: Budget | None = None,
        accept: Collection[AnswerState] = ("complete",),
        route: Route | None = None,
    ) -> ModelAnswer:
        """Answer a request, from the response cache if it was answered before.

        An answer that does not fit the request's schema or choices goes back to the model with the
        problem, at most twice. One that is truncated, refused or empty does not: it is a BadAnswer.

        Args:
            request: The request.
            asker: Who asks, as a path: `evals/run 123456789012`.
            fresh: Whether to ask the model again, even if the response cache has an answer.
            budget: What may be spent; answers from the response cache cost nothing.
            accept: The states in which the caller can use an answer.
            route: How it is asked; None for the model of the request's name.

        Raises:
            ModelError: The model gives no usable answer; see `kiln_mcp.llm.errors`.
            BudgetSpent: The budget does not allow the call.
        """
        call = self._call(request.model, asker, budget, fresh=fresh)
        route = route or await self._roster.route(request.model, call.asker)
        corrections = await self._ask(route, request, call, accept)
        if corrections.is_cached_failure(call.own):
            corrections = await self._ask(route, request, replace(call, fresh=True), accept)
        return corrections.answer()

    async def known_answers(
        self, requests: Sequence[ModelRequest], *, asker: str
    ) -> list[ModelAnswer | None]:
        """Return the answers that `complete` would take from the response cache as they are.

        One question to the response cache serves all of them, so they should be few enough to hold
        in memory. Nobody is asked, and nothing is spent.

        Args:
            requests: Requests to one model.
            asker: Who asks, as a path.

        Returns:
            For each request its answer; None if it has no usable one, so that `complete` has to
            be called.

        Raises:
            ModelError: The model cannot be asked, or the response cache cannot be read.
        """
        if not requests:
            return []
        call = self._call(requests[0].model, asker, None, fresh=False)
        route = await self._roster.route(requests[0].model, call.asker)
        entries = await self._single_flight.known_answers(route, requests)
        usable = [entry if entry and entry.state == "complete" else None for entry in entries]
        self._counter.calls += sum(entry is not None and call.has_paid(entry) for entry in usable)
        return [None if entry is None else entry.answer for entry in usable]

    async def _ask(
        self, route: Route, request: ModelRequest, call: Call, accept: Collection[AnswerState]
    ) -> Corrections:
        corrections = Corrections(request, accept)
        while (next_request := corrections.next_request) is not None:
            entry = await self._single_flight.ask(route, next_request, call)
            self._counter.calls += call.has_paid(entry) or not entry.answer.is_cached
            corrections.take(entry)
        return corrections

    async def stream(
        self,
        request: ModelRequest,
        *,
        asker: str,
        fresh: bool = False,
        budget: Budget | None = None,
    ) -> AnswerStream:
        """Answer a request as `complete` does, and show the answer while it is being written.

        Yields deltas, then the whole answer. An answer from the response cache comes at once. A
        call is retried only before its first delta. `AnswerRestart` says that the answer so far did
        not fit and that the model corrects it. Close the stream (`contextlib.aclosing`) to stop the
        model; the part that was written counts as spent and is not kept in the response cache.
        The caller looks at the answer's `state`: what was shown may be truncated or a refusal.

        Raises:
            ModelError: The model gives no usable answer; see `kiln_mcp.llm.errors`.
            BudgetSpent: The budget does not allow the call.
        """
        call = self._call(request.model, asker, budget, fresh=fresh)
        route = await self._roster.route(request.model, call.asker)
        corrections = Corrections(request, ANY_STATE)
        while True:
            if corrections.is_cached_failure(call.own):
                yield AnswerRestart(corrections.problem or "")
                corrections, call = Corrections(request, ANY_STATE), replace(call, fresh=True)
            if (next_request := corrections.next_request) is None:
                break
            if corrections.problem is not None:
                yield AnswerRestart(corrections.problem)
            async with aclosing(self._single_flight.stream(route, next_request, call)) as parts:
                async for part in parts:
                    if isinstance(part, CacheEntry):
                        corrections.take(part)
                    else:
                        yield part
        yield corrections.answer()

    def _call(self, model: str, asker: str, budget: Budget | None, *, fresh: bool) -> Call:
        budget = budget or self._budget
        asker = f"{budget.name}/{asker}" if budget else asker
        return Call(asker, fresh, budget, WaitPolicy(model, budget, self._listener, self._gauge))

    async def unanswered_expense(self, budget: str) -> Expense:
        """Return the maximum of the in-flight and lost calls under a budget."""
        return await self._cache.unanswered_expense(budget)

    async def count_answers(self, asker: str = "*") -> int:
        """Return the number of answered calls; `asker` may hold `*` as in file names."""
        return sum(spending.usage.calls for spending in await self.spending(asker))

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return the spending by model; `asker` may hold `*` as in file names."""
        return await self._cache.spending(asker)
