"""The settings of a configured server."""

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict


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
        input_usd_per_million: Price of a million tokens read; None if not known.
        output_usd_per_million: Price of a million tokens written; None if not known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=True)

    name: str
    base_url: str = field(repr=False)
    key_variable: str | None = None
    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    schema_mode: bool = True
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
