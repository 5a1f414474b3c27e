"""The models that can be named: names, routes, prices, and whether they are ready."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from kiln_mcp.llm.abilities import LOCAL_ABILITIES, UNKNOWN, Abilities
from kiln_mcp.llm.configured_servers import Servers
from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.errors import ModelError, UnknownModel
from kiln_mcp.llm.limits.rate_limiter import RateLimiter, RateLimiters
from kiln_mcp.llm.limits.shared_limits import UNLIMITED, ServerLimits
from kiln_mcp.llm.messages import EMBEDDED, Model
from kiln_mcp.llm.prices import FREE, Price, litellm_price
from kiln_mcp.llm.providers.descriptions import (
    ModelDescription,
    describe_embedded,
    describe_host,
    describe_hosted,
    describe_of_server,
    describe_problem,
    describe_servers,
    describe_tuned,
    describe_unready,
    hosted_models_with_key,
)
from kiln_mcp.llm.providers.dialects import Dialects
from kiln_mcp.llm.providers.embedded import EmbeddedModel
from kiln_mcp.llm.providers.host import HostModel
from kiln_mcp.llm.providers.keys import find_key, missing_key
from kiln_mcp.llm.providers.litellm_models import HostedModel
from kiln_mcp.llm.providers.litellm_names import (
    check_hosted_name,
    holds_address,
    likely_keys,
    needs_of,
)
from kiln_mcp.llm.providers.openai_server import ServerModel
from kiln_mcp.llm.providers.prompted_tools import PromptedTools
from kiln_mcp.llm.providers.tuned_files import PREFIX as TUNED
from kiln_mcp.llm.providers.tuned_files import TunedModel
from kiln_mcp.llm.providers.work_orders import HOST, WorkOrders
from kiln_mcp.llm.retries import Route
from kiln_mcp.llm.tuned_models import TUNED_AT_ONCE, TunedModels

NO_LIMITS: Final = ServerLimits(concurrency=UNLIMITED)
PROGRAMS: Final = "program/"
"""How the names of programs under test begin."""
HOST_CONCURRENCY: Final = 100
"""Work orders of one job at a time: more than fit into one answer, so that batches are full."""


class ModelRegistry:
    """The models that can be named here."""

    def __init__(
        self,
        settings: EngineSettings,
        models: Mapping[str, Model],
        rate_limiters: RateLimiters,
        orders: WorkOrders,
    ) -> None:
        """Set up without any contact.

        Args:
            settings: What is configured.
            models: Further models by name.
            rate_limiters: Makes the rate limiters of servers and hosted models.
            orders: The work orders of the model `host`.
        """
        self._settings = settings
        self._extra = dict(models)
        self._rate_limiters = rate_limiters
        self._orders = orders
        self._embedded = EmbeddedModel(settings.embedded)
        self._dialects = Dialects(settings.dialects)
        self._hosted_model = HostedModel(settings.environment, settings.timeout_s, self._dialects)
        self._servers = Servers(settings, rate_limiters, self._dialects)
        self._tuned_models = TunedModels(settings)
        self._routes: dict[str, Route] = {}
        self._programs: dict[str, Route] = {}

    def register(self, name: str, route: Route) -> None:
        """Make a program known by its name; one that is known keeps its rate limiter."""
        earlier = self._programs.get(name)
        if earlier is not None:
            route = replace(route, rate_limiter=earlier.rate_limiter)
        self._programs[name] = route

    def program(self, name: str) -> Model | None:
        """Return the program of a name; None if none is registered."""
        route = self._programs.get(name)
        return None if route is None else route.model

    async def close(self) -> None:
        """Close the models' connections."""
        await self._embedded.close()
        await self._tuned_models.close()
        await self._servers.close()
        await self._hosted_model.close()
        self._dialects.close()

    def is_free(self, model: str) -> bool:
        """Return whether this model costs nothing and runs at no other service."""
        program = self._programs.get(model)
        if program is not None:
            return program.price is FREE
        return model in self._extra or model in {EMBEDDED, HOST} or model.startswith(TUNED)

    def _is_here(self, model: str) -> bool:
        """Return whether a model needs neither a server of the list nor a hosted service."""
        if model.startswith(PROGRAMS) and model not in self._programs:
            raise ModelError(
                "The program {model} was not prepared, so it was not run. Measure its run config "
                "with an eval.",
                model=model,
            )
        if model not in self._extra:
            self._tuned_models.find(model)
        return model in self._programs or self.is_free(model)

    def check_name(self, model: str) -> None:
        """Refuse a name that no model can have, without asking anybody.

        Raises:
            UnknownModel: No model has this name.
            ModelError: The list of servers cannot be used.
        """
        if not self._is_here(model) and self._server_of(model) is None:
            check_hosted_name(model, self.names())

    def _server_of(self, model: str) -> ServerModel | None:
        """Return the configured server of a model's name; None if it names none.

        Raises:
            ModelError: The list of servers cannot be used.
        """
        for changed in self._servers.refresh():
            for name in [name for name in self._routes if name.partition("/")[0] == changed]:
                del self._routes[name]
        server = self._servers.find(model.partition("/")[0])
        if server is None and self._servers.problem is not None:
            raise self._servers.problem.with_traceback(None)
        return server

    async def check_ready(self, models: Sequence[str]) -> None:
        """Refuse models that cannot answer: unknown names, missing keys or parts, servers down.

        A configured server is asked for its list of models. No other service is contacted.

        Raises:
            ModelError: One of them cannot answer.
        """
        for model in models:
            self.check_name(model)
            if model == EMBEDDED and model not in self._extra:
                self._embedded.check_ready()
            if (
                model not in self._extra
                and (tuned_model := self._tuned_models.find(model)) is not None
            ):
                self._tuned_models.check(tuned_model)
            if self._is_here(model):
                continue
            if (server := self._server_of(model)) is not None:
                await server.check_has(model.partition("/")[2])
                continue
            needs = needs_of(model)
            keys = needs.key if await self._find_variable(needs.key) is None else ()
            settings = [
                names for names in needs.settings if await self._find_variable(names) is None
            ]
            if keys or settings:
                raise missing_key(model, keys, settings)

    async def _find_variable(self, variables: Sequence[str]) -> str | None:
        """Return the first variable that is set, in the environment or in the keyring."""
        for name in variables:
            if await find_key(name, self._settings.environment):
                return name
        return None

    def width(self, models: Iterable[str]) -> int:
        """Return how many requests some models may be sent at once now.

        That is what is configured, less what a server's refusals have taught. It is asked before
        each item, whose request reads the list of servers again.
        """
        widths: dict[str, int] = {}
        limits: dict[str, int] = {}
        for model in set(models):
            name, _, rest = model.partition("/")
            is_here = self._is_here(model)
            server = None if is_here else self._servers.find(name) or self._server_of(model)
            if server is None:
                widths[model] = self._width_of(model)
            else:
                widths[name] = widths.get(name, 0) + server.rate_limiter.width(rest)
                limits[name] = server.rate_limiter.concurrency
        return sum(min(width, limits.get(name, width)) for name, width in widths.items())

    def _width_of(self, model: str) -> int:
        """Return the width of a model that is of no configured server."""
        if model == EMBEDDED:
            return self._embedded.concurrency
        if model == HOST:
            return HOST_CONCURRENCY
        if model.startswith(TUNED) and model not in self._extra:
            return TUNED_AT_ONCE
        if model in self._programs:
            return self._programs[model].rate_limiter.concurrency
        route = self._routes.get(model)
        if route is None or self.is_free(model):
            return self._settings.hosted_concurrency
        return route.rate_limiter.width(route.name)

    def price(self, model: str) -> Price | None:
        """Return what a model costs; None if not known."""
        if self.is_free(model):
            return FREE
        if model in self._programs:
            return self._programs[model].price
        server = self._server_of(model)
        return litellm_price(model) if server is None else server.price

    async def describe(self, extra_names: Sequence[str] = ()) -> list[ModelDescription]:
        """Describe the configured models and the named ones: abilities and prices."""
        self._servers.refresh()
        descriptions = [
            await describe_embedded(self._settings.embedded.path),
            describe_host(await self._orders.open_count()),
            *self._tuned_models.describe(),
            *([describe_problem(self._servers.problem)] if self._servers.problem else []),
            *await describe_servers(self._servers.by_name),
        ]
        models_with_key = await hosted_models_with_key(self._settings.environment)
        used_models = [
            name for name, route in self._routes.items() if route.model is self._hosted_model
        ]
        names = dict.fromkeys([*models_with_key, *used_models, *extra_names])
        described_names = {
            name
            for description in descriptions
            for name in (description.name, *description.siblings)
        }
        extra_descriptions = [
            await self.describe_one(name) for name in names if name not in described_names
        ]
        return [*descriptions, *extra_descriptions]

    async def describe_one(self, name: str) -> ModelDescription:
        """Describe a model: abilities and price, or why it cannot answer."""
        try:
            await self.check_ready([name])
        except ModelError as problem:
            return describe_unready(name, problem)
        if name == EMBEDDED:
            return await describe_embedded(self._settings.embedded.path)
        if name == HOST:
            return describe_host(await self._orders.open_count())
        if name not in self._extra and (tuned_model := self._tuned_models.find(name)) is not None:
            return describe_tuned(tuned_model)
        if self._is_here(name):
            return ModelDescription(
                name, True, "Answers in this process.", abilities=LOCAL_ABILITIES
            )
        if (server := self._server_of(name)) is not None:
            first, _, rest = name.partition("/")
            return describe_of_server(first, server, rest)
        key = await self._find_variable(likely_keys(name))
        models = self._hosted_model
        return describe_hosted(name, key, models.abilities(name), models.lessons(name))

    def abilities(self, name: str) -> Abilities:
        """Return what is known of a model's abilities; nobody is asked."""
        if name in self._extra:
            return UNKNOWN
        if self._is_here(name):
            return LOCAL_ABILITIES
        server = self._server_of(name)
        if server is None:
            return self._hosted_model.abilities(name)
        return server.abilities(name.partition("/")[2])

    def forget(self, name: str) -> None:
        """Forget what was learned of a model's dialect."""
        if self._is_here(name):
            return
        server = self._server_of(name)
        if server is None:
            self._hosted_model.forget(name)
        else:
            server.forget(name.partition("/")[2])

    async def route(self, name: str, asker: str = "") -> Route:
        """Return the route to a model for an asker (a path).

        Raises:
            UnknownModel: No model has this name.
            ModelError: The list of servers cannot be used.
        """
        if name in self._programs:
            return self._programs[name]
        tuned_model = None if name in self._extra else self._tuned_models.find(name)
        if tuned_model is not None:
            return self._tuned_route(tuned_model)
        server = None if self._is_here(name) else self._server_of(name)
        route = self._routes.get(name)
        if route is None:
            route = await self._find_route(name, server)
            route = self._routes.setdefault(name, route)
        if name == HOST:  # each order names its asker
            return replace(route, model=PromptedTools(HostModel(self._orders, asker=asker)))
        return route

    def _tuned_route(self, model: TunedModel) -> Route:
        """Return the route to a tuned model, the same until it is trained again."""
        route = self._routes.get(model.name)
        if route is None or route.identity != model.identity:
            route = self._routes[model.name] = self._tuned_models.route(model)
        return route

    async def prepare(self, name: str) -> None:
        """Import what the first request to a model needs, if its name is that of a model."""
        with suppress(ModelError):  # the request itself says what is wrong
            route = await self.route(name)
            if route.model is self._hosted_model:
                await self._hosted_model.prepare()

    async def _find_route(self, name: str, server: ServerModel | None) -> Route:
        rest = name.partition("/")[2]
        if name in self._extra:
            return Route(self._extra[name], name, name, RateLimiter(name, NO_LIMITS))
        if name == EMBEDDED:
            identity = self._embedded.identity
            model = PromptedTools(self._embedded)
            limits = ServerLimits(self._embedded.concurrency)
            return Route(model, name, identity, RateLimiter(name, limits))
        if name == HOST:
            host = PromptedTools(HostModel(self._orders))
            return Route(host, name, name, RateLimiter(name, NO_LIMITS), withdraws=True)
        if server is not None:
            return Route(
                server, rest, f"{server.address} {rest}", server.rate_limiter, server.price
            )
        if rest and not holds_address(name):
            rate_limiter = self._rate_limiters.make(
                name, ServerLimits(self._settings.hosted_concurrency)
            )
            return Route(self._hosted_model, name, name, rate_limiter, litellm_price(name))
        raise UnknownModel(name, self.names())

    def names(self) -> list[str]:
        """Return the valid names, without those of hosted models."""
        return [
            EMBEDDED,
            HOST,
            *self._extra,
            *self._tuned_models.names(),
            *(f"{name}/<model>" for name in self._servers.by_name),
        ]
