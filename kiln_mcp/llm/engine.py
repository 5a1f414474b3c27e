"""The one way to ask a model anything: names, journal, corrections, retries."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from kiln_mcp.llm.embedded import EmbeddedModel
from kiln_mcp.llm.errors import BadAnswer, Unavailable, UnknownModel
from kiln_mcp.llm.hosted import HostedModel
from kiln_mcp.llm.journal import Journal, JournalEntry, Spending, request_key
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest, Usage
from kiln_mcp.llm.prices import litellm_price
from kiln_mcp.llm.schemas import correction, fit
from kiln_mcp.llm.scripted import load_script
from kiln_mcp.llm.settings import EMBEDDED, EngineSettings

CORRECTIONS: Final = 2
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
USUAL_INPUT: Final = 1200
USUAL_OUTPUT: Final = 300
SCRIPTED: Final = "scripted:"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model's requests go.

    Attributes:
        model: What answers.
        name: The model's name as its server knows it.
        identity: What the answers depend on, for the journal.
    """

    model: Model
    name: str
    identity: str


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
        self._journal = Journal(settings.journal)
        self._extra = dict(models or {})
        self._embedded = EmbeddedModel(settings.embedded)
        self._hosted = HostedModel(settings.environment, settings.timeout_s)
        self._asking: dict[tuple[bytes, int], anyio.Event] = {}
        self._random = random.Random()

    async def __aenter__(self) -> Self:
        await self._journal.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._embedded.close()
        await self._journal.__aexit__(kind, error, traceback)

    @property
    def default_model(self) -> str:
        """The model for those who name none."""
        return self.settings.default_model

    def is_free(self, model: str) -> bool:
        """Whether asking this model costs nothing and sends nothing away."""
        return model in self._extra or model == EMBEDDED or model.startswith(SCRIPTED)

    def price_of(self, model: str, calls: int) -> float | None:
        """Return what so many calls of usual length cost in US dollars; None where not known."""
        if self.is_free(model):
            return 0.0
        price = litellm_price(model)
        return None if price is None else calls * price.cost_usd(USUAL_INPUT, USUAL_OUTPUT)

    async def complete(
        self, request: ModelRequest, *, asker: str, fresh: bool = False
    ) -> ModelAnswer:
        """Answer a request, from the journal where it was answered before.

        An answer that does not fit the request's schema or choices is sent back with what is
        wrong, at most twice.

        Args:
            request: What is asked.
            asker: Who asks, as a path: `evals/run 123456789012`.
            fresh: Whether to ask the model again, even if the journal has an answer.

        Raises:
            ModelError: One of its kinds; see `kiln_mcp.llm.errors`.
        """
        route = await self._route(request.model)
        spent: Usage | None = None
        remembered = True
        asked = request
        problem: str | None = None
        for _ in range(CORRECTIONS + 1):
            entry = await self._ask_once(route, asked, asker, fresh=fresh)
            answer, problem = entry.answer, entry.problem
            spent = answer.usage if spent is None else spent + answer.usage
            remembered = remembered and answer.journalled
            if problem is None:
                return replace(answer, usage=spent, journalled=remembered)
            asked = asked.with_messages(*correction(answer, problem))
        raise BadAnswer(request.model, problem or "", CORRECTIONS + 1)

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return what was spent on each model; `asker` may hold `*` as in file names."""
        return await self._journal.spending(asker)

    async def _route(self, name: str) -> Route:
        extra = self._extra.get(name)
        if extra is not None:
            return Route(extra, name, name)
        if name == EMBEDDED:
            return Route(self._embedded, name, self._embedded.identity)
        if name.startswith(SCRIPTED):
            script = await load_script(name, Path(name.removeprefix(SCRIPTED)))
            self._extra[name] = script
            return Route(script, name, name)
        if "/" in name:
            return Route(self._hosted, name, name)
        raise UnknownModel(name, self.model_names())

    def model_names(self) -> list[str]:
        """Return the names that are valid here, apart from litellm's many."""
        return [EMBEDDED, *self._extra]

    async def _ask_once(
        self, route: Route, request: ModelRequest, asker: str, *, fresh: bool
    ) -> JournalEntry:
        key = request_key(request, route.identity)
        while (other := self._asking.get(key)) is not None:
            await other.wait()  # the same question is on its way: wait, then read its answer
        if not fresh:
            entry = self._journal.read(key)
            if entry is not None:
                return entry
        done = self._asking[key] = anyio.Event()
        try:
            answer = await self._send(route, replace(request, model=route.name))
            parsed, problem = fit(answer, request)
            entry = JournalEntry(replace(answer, parsed=parsed), problem)
            await self._journal.write(key, request.model, asker, entry)
            return entry
        finally:
            del self._asking[key]
            done.set()

    async def _send(self, route: Route, request: ModelRequest) -> ModelAnswer:
        wait = FIRST_WAIT_S
        for _ in range(self.settings.attempts - 1):
            try:
                return await route.model.complete(request)
            except Unavailable as error:
                # Full jitter: Brooker (2015), Exponential Backoff and Jitter.
                pause = error.retry_after_s or self._random.uniform(0, wait)
                await anyio.sleep(min(pause, LONGEST_WAIT_S))
                wait = min(wait * 2, LONGEST_WAIT_S)
        return await route.model.complete(request)
