"""The services that train models, by their names."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from kiln_mcp.llm import EngineSettings
from kiln_mcp.tuning.local import provider as local
from kiln_mcp.tuning.providers import fireworks, openai, together, vertex
from kiln_mcp.tuning.providers.provider import TuningProvider


class ProviderName(StrEnum):
    """A service that trains models; the values are those of Kiln's records."""

    OPENAI = "openai"
    FIREWORKS = "fireworks_ai"
    TOGETHER = "together_ai"
    VERTEX = "vertex"
    LOCAL = "local"
    CLUSTER = "cluster"


_OPENERS: Final[Mapping[ProviderName, Callable[[EngineSettings], TuningProvider]]] = {
    ProviderName.OPENAI: openai.open_provider,
    ProviderName.FIREWORKS: fireworks.open_provider,
    ProviderName.TOGETHER: together.open_provider,
    ProviderName.VERTEX: vertex.open_provider,
    ProviderName.LOCAL: local.open_provider,
    ProviderName.CLUSTER: local.open_cluster,
}


def open_provider(name: ProviderName, settings: EngineSettings) -> TuningProvider:
    """Return a provider with the person's settings."""
    return _OPENERS[name](settings)
