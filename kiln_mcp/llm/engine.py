"""The one way to ask a model anything: journal, limits, retries, corrections."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from kiln_mcp.llm.embedded import EmbeddedModel
from kiln_mcp.llm.errors import BadAnswer, Unavailable
from kiln_mcp.llm.hosted import HostedModel, price_usd
from kiln_mcp.llm.journal import Journal, JournalEntry, remembered, request_key
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.schemas import correction, fit
from kiln_mcp.llm.scripted import load_script
from kiln_mcp.llm.settings import EMBEDDED, EngineSettings

CORRECTIONS: Final = 2
"""How often a model is told at most what was wrong with its answer."""

_TYPICAL_INPUT: Final = 1200
_TYPICAL_OUTPUT: Final = 300
_LONGEST_WAIT_S: Final = 30.0


class Engine:
    """Asks models by name; every call is paid once.

    A context manager: opens and closes the journal.
    """

    def __init__(self, settings: EngineSettings, models: Mapping[str, Model] | None = None) -> None:
        """Take the settings.

        Args:
            settings: Everything that the engine must be told.
            models: Further models by name, such as scripted ones.
        """
        self._settings = settings
        self._models: dict[str, Model] = dict(models or {})
        self._journal = Journal(settings.journal)
        self._embedded = EmbeddedModel(settings.embedded)
        self._hosted = HostedModel(settings.timeout_s)
        self._limits: dict[str, anyio.CapacityLimiter] = {}

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

    def is_free(self, model: str) -> bool:
        """Whether asking this model costs nothing and sends nothing away."""
        return model in self._models or model == EMBEDDED or model.startswith("scripted")

    def price_of(self, model: str, calls: int) -> float | None:
        """Return what so many calls of usual length cost in US dollars; None where not known."""
        if self.is_free(model):
            return 0.0
        each = price_usd(model, _TYPICAL_INPUT, _TYPICAL_OUTPUT)
        return None if each is None else each * calls

    async def complete(
        self, request: ModelRequest, *, asker: str, fresh: bool = False
    ) -> ModelAnswer:
        """Answer a request, from the journal where it was answered before.

        Args:
            request: What is asked.
            asker: Who asks, such as "evals/run", for the journal.
            fresh: Whether to ask again though the journal has an answer.

        Raises:
            ModelError: No model answers it, or none as the schema wants.
        """
        model = await self._model(request.model)
        identity = getattr(model, "identity", request.model)
        key = request_key(request, f"{request.model} {identity}")
        if not fresh:
            entry = self._journal.read(key)
            if entry is not None:
                return self._checked(remembered(entry), entry.problem, request)
        answer, problem = await self._ask(model, request)
        await self._journal.write(key, request.model, asker, JournalEntry(answer, problem))
        return self._checked(answer, problem, request)

    @staticmethod
    def _checked(answer: ModelAnswer, problem: str | None, request: ModelRequest) -> ModelAnswer:
        if problem is not None:
            raise BadAnswer(request.model, problem, answer.usage.calls)
        return answer

    async def _ask(self, model: Model, request: ModelRequest) -> tuple[ModelAnswer, str | None]:
        """Ask, and tell the model what was wrong, at most twice."""
        answer = await self._send(model, request)
        parsed, problem = fit(answer, request)
        asked = request
        for _ in range(CORRECTIONS):
            if problem is None or request.raw_text is not None:
                break
            asked = asked.with_messages(*correction(answer, problem))
            again = await self._send(model, asked)
            answer = replace(again, usage=answer.usage + again.usage)
            parsed, problem = fit(answer, request)
        return replace(answer, parsed=parsed), problem

    async def _send(self, model: Model, request: ModelRequest) -> ModelAnswer:
        """Send one request, again while its failure may pass, with full jitter."""
        limit = self._limits.setdefault(
            request.model, anyio.CapacityLimiter(self._settings.hosted_concurrency)
        )
        for attempt in range(self._settings.attempts - 1):
            try:
                async with limit:
                    return await model.complete(request)
            except Unavailable as error:
                wait = error.retry_after_s or random.uniform(0, min(_LONGEST_WAIT_S, 2.0**attempt))
                await anyio.sleep(min(wait, _LONGEST_WAIT_S))
        async with limit:
            return await model.complete(request)

    async def _model(self, name: str) -> Model:
        if name in self._models:
            return self._models[name]
        if name == EMBEDDED:
            return self._embedded
        if name.startswith("scripted:"):
            script = await load_script(name, Path(name.removeprefix("scripted:")))
            return self._models.setdefault(name, script)
        return self._hosted
