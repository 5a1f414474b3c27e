"""The engine's settings, read once by a door."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from kiln_mcp.llm.budget.budget import AWAITED_S
from kiln_mcp.llm.messages import EMBEDDED
from kiln_mcp.llm.providers.embedded import EmbeddedSettings
from kiln_mcp.llm.providers.server_settings import ServerSettings


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine's settings.

    Attributes:
        response_cache: Its SQLite file; None for one that is deleted at the end.
        shared_database_url: A Postgres database for the response cache and the limits of several
            workers, instead of the file; None for one machine.
        dialects: The SQLite file of what was learned of models' dialects; None for memory.
        orders: The SQLite file of the work orders of the model `host`; None for one in memory.
        default_model: The model of calls that name none.
        servers: The configured OpenAI-compatible servers.
        tuned_models: The JSON file of the models that were tuned on this machine; None for none.
        server_file: A JSON file that lists more of them; it is read again when it has changed.
        embedded: How the embedded model runs.
        environment: Where keys are looked up first; then the system's keyring.
        timeout_s: The longest wait for one answer.
        first_wait_s: The longest wait before the first retry; it doubles with each retry.
        attempts: How often a request is sent at most.
        hosted_concurrency: The most requests at once to one hosted model.
        awaited_s: Seconds that in-flight calls are awaited when a job's time is over.
    """

    response_cache: Path | None = None
    shared_database_url: str | None = field(default=None, repr=False)
    dialects: Path | None = None
    orders: Path | None = None
    default_model: str = EMBEDDED
    servers: tuple[ServerSettings, ...] = ()
    tuned_models: Path | None = None
    server_file: Path | None = None
    embedded: EmbeddedSettings = field(default_factory=EmbeddedSettings)
    environment: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(dict(os.environ)), repr=False
    )
    timeout_s: float = 180.0
    first_wait_s: float = 0.5
    attempts: int = 5
    hosted_concurrency: int = 16
    awaited_s: float = AWAITED_S
