"""The engine's settings: read once at the door and handed in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from pydantic import ConfigDict

from kiln_mcp.llm.budget import AWAITED_S
from kiln_mcp.llm.embedded import EmbeddedSettings

EMBEDDED: Final = "embedded"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """An OpenAI-compatible server: vLLM, Ollama, LM Studio, llama.cpp, a gateway.

    Attributes:
        name: The first part of its models' names: `<name>/<model>`.
        base_url: Its address up to and including `/v1`; a password in it is shown nowhere.
        key_variable: The environment variable or keyring entry that holds its key; None for none.
        concurrency: The most requests at once.
        requests_per_minute: The most requests a minute; None for no limit.
        tokens_per_minute: The most tokens a minute; None for no limit.
        schema_mode: Whether it takes `response_format: json_schema`.
        input_usd_per_million: Price of a million tokens read; None where not known.
        output_usd_per_million: Price of a million tokens written; None where not known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    base_url: str = field(repr=False)
    key_variable: str | None = None
    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    schema_mode: bool = True
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Everything that the engine must be told.

    Attributes:
        journal: The SQLite file of the journal; None for one that is deleted at the end.
        shared_database_url: A Postgres database for the journal and the limits of several
            workers, instead of the file; None for one machine.
        orders: The SQLite file of the work orders of the model `host`; None for one in memory.
        default_model: The model for those who name none.
        servers: The configured OpenAI-compatible servers.
        server_file: A JSON file that lists more of them, read when it has changed.
        embedded: How the embedded model runs.
        environment: Where keys are looked up first; then the system's keyring.
        timeout_s: The longest wait for one answer.
        first_wait_s: The longest first wait before a request is sent again; later ones double.
        attempts: How often a request is sent at most, when its failure may pass.
        hosted_concurrency: The most requests at once to one hosted model.
        awaited_s: Seconds that calls on their way are awaited when a job's time is over.
    """

    journal: Path | None = None
    shared_database_url: str | None = field(default=None, repr=False)
    orders: Path | None = None
    default_model: str = EMBEDDED
    servers: tuple[ServerSettings, ...] = ()
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
