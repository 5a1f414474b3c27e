"""The models that were tuned on this machine, as routes of the engine; their list may change."""

from pathlib import Path
from typing import Final

from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.errors import UnknownModel
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import ServerLimits
from kiln_mcp.llm.prices import FREE
from kiln_mcp.llm.providers.descriptions import ModelDescription, describe_tuned
from kiln_mcp.llm.providers.embedded import EmbeddedModel, EmbeddedSettings
from kiln_mcp.llm.providers.folder_model import FolderModel
from kiln_mcp.llm.providers.prompted_tools import PromptedTools
from kiln_mcp.llm.providers.tuned_files import PREFIX, TunedModel, read_tuned_models
from kiln_mcp.llm.retries import Route

TUNED_AT_ONCE: Final = 1
"""A tuned model has one instance: it is small, and several would share the cores."""


class TunedModels:
    """Tuned models by name, each loaded at its first request."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._open: dict[str, tuple[str, EmbeddedModel | FolderModel]] = {}

    def names(self) -> list[str]:
        """Return the names of all tuned models."""
        return list(read_tuned_models(self._settings.tuned_models))

    def find(self, name: str) -> TunedModel | None:
        """Return a tuned model; None if the name is not that of one.

        Raises:
            UnknownModel: The name begins like one, and there is none of it.
        """
        if not name.startswith(PREFIX):
            return None
        models = read_tuned_models(self._settings.tuned_models)
        if name not in models:
            raise UnknownModel(name, list(models))
        return models[name]

    def check(self, model: TunedModel) -> None:
        """Refuse a model that cannot run.

        Raises:
            ModelError: Its files are gone, or what runs it is not installed.
        """
        model.check()
        self._make(model).check_ready()

    def describe(self) -> list[ModelDescription]:
        """Describe all tuned models."""
        models = read_tuned_models(self._settings.tuned_models)
        return [describe_tuned(model) for model in models.values()]

    def route(self, model: TunedModel) -> Route:
        """Return the route to a model; a model that was trained again is loaded again."""
        identity, running = self._open.get(model.name, ("", None))
        if running is None or identity != model.identity:
            running = self._make(model)
            self._open[model.name] = model.identity, running
        limiter = RateLimiter(model.name, ServerLimits(TUNED_AT_ONCE))
        return Route(PromptedTools(running), model.name, model.identity, limiter, FREE)

    def _make(self, model: TunedModel) -> EmbeddedModel | FolderModel:
        if model.runtime == "transformers":
            return FolderModel(model, self._settings.timeout_s)
        context = self._settings.embedded.context_tokens
        settings = EmbeddedSettings(Path(model.base), context, TUNED_AT_ONCE, model.adapter_file)
        return EmbeddedModel(settings)

    async def close(self) -> None:
        """Free the memory of all models."""
        for _, running in self._open.values():
            await running.close()
        self._open.clear()
