"""The one way to ask a model anything: names, journal, corrections, retries."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from kiln_mcp.llm.budget import Budget, BudgetLimit, Past, Reservation
from kiln_mcp.llm.deltas import Delta, StartedAgain, Streamed, deltas_of
from kiln_mcp.llm.embedded import EmbeddedModel
from kiln_mcp.llm.errors import JournalFailed, MissingKey, UnknownModel
from kiln_mcp.llm.hosted import HostedModel
from kiln_mcp.llm.inventory import (
    ModelDescription,
    describe_embedded,
    describe_host,
    describe_hosted,
    describe_problem,
    describe_servers,
    hosted_with_key,
)
from kiln_mcp.llm.journal import (
    JournalEntry,
    Key,
    Spending,
    Writing,
    request_key,
)
from kiln_mcp.llm.keys import find_key
from kiln_mcp.llm.limits import Gate, Gates, Limits
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.names import check_hosted_name, key_variables
from kiln_mcp.llm.on_the_way import OnTheWay
from kiln_mcp.llm.orders import HOST, HostModel, WorkOrders
from kiln_mcp.llm.prices import FREE, Price, litellm_price
from kiln_mcp.llm.schemas import fit
from kiln_mcp.llm.scripted import load_script
from kiln_mcp.llm.sending import Route, Sender
from kiln_mcp.llm.server import ServerModel
from kiln_mcp.llm.servers import Servers
from kiln_mcp.llm.settings import EMBEDDED, EngineSettings
from kiln_mcp.llm.sharing import open_journal, open_limits
from kiln_mcp.llm.spent import Spent
from kiln_mcp.llm.tally import Tally
from kiln_mcp.llm.tools_in_words import ToolsInWords
from kiln_mcp.llm.waiting import Listener, Patience

USUAL_INPUT: Final = 1200
USUAL_OUTPUT: Final = 300
UNLIMITED: Final = Limits(concurrency=1_000_000)
SCRIPTED: Final = "scripted:"


class Engine:
    """Asks models: every call journalled, answered once, corrected and tried again.

    An async context manager; one object serves a whole process.
    """

    def __init__(self, settings: EngineSettings, models: Mapping[str, Model] | None = None) -> None:
        """Set up without any contact.

        Args:
            settings: What is configured.
            models: Further models by name, for example scripted ones in tests.
        """
        self.settings = settings
        self._journal = open_journal(settings)
        self._gates = Gates(open_limits(settings))
        self._extra = dict(models or {})
        self._embedded = EmbeddedModel(settings.embedded)
        self._hosted = HostedModel(settings.environment, settings.timeout_s)
        self._servers = Servers(settings, self._gates)
        self.orders = WorkOrders(settings.orders)
        self._host = HostModel(self.orders)
        self._routes: dict[str, Route] = {}
        self._asking: dict[Key, anyio.Event] = {}
        self._sender = Sender(settings.attempts, settings.first_wait_s)
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
        await self._embedded.close()
        await self.orders.close()
        await self._servers.close()
        await self._gates.close()
        await self._journal.close()

    @property
    def default_model(self) -> str:
        """The model for those who name none."""
        return self.settings.default_model

    def is_free(self, model: str) -> bool:
        """Whether asking this model costs nothing and asks no service but the person's own."""
        return model in self._extra or model in {EMBEDDED, HOST} or model.startswith(SCRIPTED)

    def check_name(self, model: str) -> None:
        """Refuse a name that no model can have, without asking anybody.

        Raises:
            UnknownModel: No model has this name.
            ServerFileUnreadable: The list that it may stand in cannot be used.
        """
        if not self.is_free(model) and self._server_of(model) is None:
            check_hosted_name(model, self.model_names())

    def _server_of(self, model: str) -> ServerModel | None:
        """Return the configured server that a model's name begins with, None where none does.

        Raises:
            ServerFileUnreadable: The list that it may stand in cannot be used.
        """
        for changed in self._servers.refresh():
            for name in [name for name in self._routes if name.partition("/")[0] == changed]:
                del self._routes[name]
        server = self._servers.find(model.partition("/")[0])
        if server is None and self._servers.problem is not None:
            raise self._servers.problem.with_traceback(None)
        return server

    async def check_ready(self, calls: Mapping[str, int]) -> None:
        """Refuse models that cannot answer: unknown ones, those without their key, servers down.

        A configured server is asked for its list of models; nobody else is asked anything.

        Args:
            calls: How often each model is to be asked; who is not asked need not be ready.

        Raises:
            ModelError: What keeps one of them from answering.
        """
        for model in [model for model, times in calls.items() if times]:
            self.check_name(model)
            if self.is_free(model):
                continue
            if (server := self._server_of(model)) is not None:
                await server.check_has(model.partition("/")[2])
                continue
            variables = key_variables(model)
            keys = [await find_key(name, self.settings.environment) for name in variables]
            if variables and not any(keys):
                raise MissingKey(model, variables)

    def price_of(self, model: str, calls: int) -> float | None:
        """Return what so many calls of usual length cost in US dollars; None where not known."""
        price = self._price(model)
        return None if price is None else calls * price.cost_usd(USUAL_INPUT, USUAL_OUTPUT)

    def _price(self, model: str) -> Price | None:
        if self.is_free(model):
            return FREE
        server = self._server_of(model)
        return litellm_price(model) if server is None else server.price

    async def budget(self, name: str, limit: BudgetLimit, seconds: float = 0.0) -> Budget:
        """Open a budget, with what was spent under its name before.

        Calls that were on their way when their process ended, and such as got no answer, count as
        spent.

        Args:
            name: Who spends, as a path: `jobs/4711`. Every call under it is journalled below it.
            limit: The most that may be spent, what was spent before included.
            seconds: How long was worked before.
        """
        lost = spent = await self._journal.unheard(name)
        for past in await self._journal.spending(f"{name}/*"):
            spent += replace(Spent.of(past.usage), unpriced_calls=past.unpriced_calls)
        return Budget(name, limit, OnTheWay(name, self._journal), Past(spent, lost, seconds))

    def within(self, budget: Budget) -> "Engine":
        """Return this engine with a budget that holds for every call made through it."""
        view = copy(self)
        view._budget = budget
        return view

    def heard_by(self, listener: Listener) -> "Engine":
        """Return this engine with somebody who hears what its calls have to wait for."""
        view = copy(self)
        view._listener = listener
        return view

    async def models(self) -> list[ModelDescription]:
        """Return what is configured, what it can do, and what it costs."""
        self._servers.refresh()
        return [
            await describe_embedded(),
            describe_host(await self.orders.open_count()),
            *([describe_problem(self._servers.problem)] if self._servers.problem else []),
            *await describe_servers(self._servers.by_name),
            *[describe_hosted(name) for name in await hosted_with_key(self.settings.environment)],
        ]

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
        route = await self._route(request.model)
        call = self._call(request.model, asker, budget, fresh=fresh)
        tally = await self._ask(route, request, call)
        if tally.failed_before(call.own):
            tally = await self._ask(route, request, replace(call, fresh=True))
        return tally.answer()

    async def _ask(self, route: Route, request: ModelRequest, call: "_Call") -> Tally:
        tally = Tally(request)
        while (asked := tally.asked) is not None:
            tally.take(await self._ask_once(route, asked, call))
        return tally

    async def stream(
        self,
        request: ModelRequest,
        *,
        asker: str,
        fresh: bool = False,
        budget: Budget | None = None,
    ) -> Streamed:
        """Answer a request as `complete` does, and show the answer while it is being written.

        Yields deltas, then the whole answer, last. An answer from the journal comes at once. What
        fails before its first delta is tried again; what fails later is not. `StartedAgain` says
        that what came so far did not fit and is corrected. Close it (`contextlib.aclosing`) to
        stop the model; what was written by then counts as spent and is not journalled.

        Raises:
            ModelError: One of its kinds; see `kiln_mcp.llm.errors`.
        """
        route = await self._route(request.model)
        call = self._call(request.model, asker, budget, fresh=fresh)
        tally = Tally(request)
        while True:
            if tally.failed_before(call.own):
                yield StartedAgain(tally.problem or "")
                tally, call = Tally(request), replace(call, fresh=True)
            if (asked := tally.asked) is None:
                break
            if tally.problem is not None:
                yield StartedAgain(tally.problem)
            async with aclosing(self._stream_once(route, asked, call)) as parts:
                async for part in parts:
                    if isinstance(part, JournalEntry):
                        tally.take(part)
                    else:
                        yield part
        yield tally.answer()

    def _call(self, model: str, asker: str, budget: Budget | None, *, fresh: bool) -> "_Call":
        budget = budget or self._budget
        asker = f"{budget.name}/{asker}" if budget else asker
        return _Call(asker, fresh, budget, Patience(model, budget, self._listener))

    async def unheard(self, budget: str) -> Spent:
        """Return what was sent under a budget and not answered: on its way, or lost with it."""
        return await self._journal.unheard(budget)

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return what was spent on each model; `asker` may hold `*` as in file names."""
        return await self._journal.spending(asker)

    async def _route(self, name: str) -> Route:
        server = None if self.is_free(name) else self._server_of(name)
        route = self._routes.get(name)
        if route is None:
            route = await self._find_route(name, server)
            route = self._routes.setdefault(name, route)
        return route

    async def _find_route(self, name: str, server: ServerModel | None) -> Route:
        rest = name.partition("/")[2]
        if name in self._extra:
            return Route(self._extra[name], name, name, Gate(name, UNLIMITED))
        if name == EMBEDDED:
            identity = self._embedded.identity
            model = ToolsInWords(self._embedded)
            return Route(model, name, identity, Gate(name, UNLIMITED))
        if name == HOST:
            return Route(ToolsInWords(self._host), name, name, Gate(name, UNLIMITED))
        if name.startswith(SCRIPTED):
            script = await load_script(name, Path(name.removeprefix(SCRIPTED)))
            return Route(script, name, name, Gate(name, UNLIMITED))
        if server is not None:
            return Route(server, rest, f"{server.address} {rest}", server.gate, server.price)
        if rest:
            gate = self._gates.gate(name, Limits(self.settings.hosted_concurrency))
            return Route(self._hosted, name, name, gate, litellm_price(name))
        raise UnknownModel(name, self.model_names())

    def model_names(self) -> list[str]:
        """Return the names that are valid here, apart from litellm's many."""
        return [
            EMBEDDED,
            HOST,
            *self._extra,
            *(f"{name}/<model>" for name in self._servers.by_name),
        ]

    async def _ask_once(self, route: Route, request: ModelRequest, call: "_Call") -> JournalEntry:
        async with self._turn(request, route, call) as turn:
            if turn.entry is not None:
                return turn.entry
            async with call.reserve(request, route.price) as reservation:
                answer = await self._sender.send(route, request, reservation, call.patience)
                return await self._remember(turn.key, request, call, answer, reservation)

    async def _stream_once(
        self, route: Route, request: ModelRequest, call: "_Call"
    ) -> AsyncGenerator[Delta | JournalEntry]:
        """Yield an answer's deltas, then its entry in the journal."""
        async with self._turn(request, route, call) as turn:
            if turn.entry is not None:
                for delta in deltas_of(turn.entry.answer):
                    yield delta
                yield turn.entry
                return
            async with (
                call.reserve(request, route.price) as reservation,
                aclosing(self._sender.stream(route, request, reservation, call.patience)) as parts,
            ):
                async for part in parts:
                    if isinstance(part, ModelAnswer):
                        yield await self._remember(turn.key, request, call, part, reservation)
                    else:
                        yield part

    @asynccontextmanager
    async def _turn(
        self, request: ModelRequest, route: Route, call: "_Call"
    ) -> AsyncGenerator["_Turn"]:
        """Wait while the same question is on its way, then read its answer, or ask it."""
        key = request_key(request, route.identity)
        while (other := self._asking.get(key)) is not None:
            await other.wait()
        done = self._asking[key] = anyio.Event()
        try:
            yield _Turn(key, None if call.fresh else await self._journal.read(key))
        finally:
            del self._asking[key]
            done.set()

    async def _remember(
        self,
        key: Key,
        request: ModelRequest,
        call: "_Call",
        answer: ModelAnswer,
        reservation: Reservation,
    ) -> JournalEntry:
        parsed, problem = fit(answer, request)
        entry = JournalEntry(replace(answer, parsed=parsed), problem)
        reservation.journalled = (
            True  # also where this is cancelled: the row is written all the same
        )
        try:
            await self._journal.write(Writing(key, request.model, entry, call.asker))
        except JournalFailed:
            reservation.journalled = False
            raise
        return entry


@dataclass(frozen=True, slots=True)
class _Call:
    """Who asks, and how."""

    asker: str
    fresh: bool
    budget: Budget | None
    patience: Patience

    @property
    def own(self) -> str | None:
        """The beginning of the askers of the job that it belongs to; None for no job."""
        return None if self.budget is None else f"{self.budget.name}/"

    def reserve(
        self, request: ModelRequest, price: Price | None
    ) -> AbstractAsyncContextManager[Reservation]:
        """Hold what the call can take at most, where it has a budget."""
        if self.budget is None:
            return nullcontext(Reservation())
        return self.budget.reserve(request, price)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question's key in the journal, and its answer where it was answered before."""

    key: Key
    entry: JournalEntry | None = None
