"""OpenAI-compatible servers, the lean way: one pooled connection set a server, no client set-up."""

import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from kiln_mcp.llm.errors import (
    AnswerTimedOut,
    ContextOverflow,
    KeyRefused,
    MissingKey,
    ModelError,
    RateLimited,
    RequestRefused,
    ServerDown,
    ServerFailed,
    UnknownModel,
)
from kiln_mcp.llm.keys import find_key
from kiln_mcp.llm.limits import Limits
from kiln_mcp.llm.messages import JsonSchema, ModelAnswer, ModelRequest
from kiln_mcp.llm.openai_format import chat_body, read_chat_answer
from kiln_mcp.llm.prices import Price, priced
from kiln_mcp.llm.settings import ServerSettings

if TYPE_CHECKING:
    import aiohttp

_OVERFLOW: Final = ("context length", "context size", "context window", "maximum context")
_NO_SCHEMA_MODE: Final = ("response_format", "json_schema", "guided", "grammar")
LARGEST_REPLY_BYTES: Final = 64 * 2**20


class ServerModel:
    """All models of one configured server."""

    def __init__(
        self, settings: ServerSettings, environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._schema_mode = settings.schema_mode
        self._address = settings.base_url.rstrip("/")

    @property
    def address(self) -> str:
        """The server's address, up to and including `/v1`."""
        return self._address

    @property
    def limits(self) -> Limits:
        """What the configuration allows."""
        configured = self._settings
        return Limits(
            configured.concurrency, configured.requests_per_minute, configured.tokens_per_minute
        )

    @property
    def price(self) -> Price | None:
        """The configured price; None where none was."""
        read, written = self._settings.input_usd_per_million, self._settings.output_usd_per_million
        if read is None or written is None:
            return None
        return Price(read / 1e6, written / 1e6, read / 1e6)

    async def _open(self) -> "aiohttp.ClientSession":
        if self._session is not None:
            return self._session
        import aiohttp

        variable = self._settings.key_variable
        key = await find_key(variable, self._environment) if variable else None
        if variable and not key:
            raise MissingKey(f"{self._settings.name}/…", [variable])
        if self._session is None:  # another request may have opened it meanwhile
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=10),
                headers={"Authorization": f"Bearer {key}"} if key else {},
                auto_decompress=True,
            )
        return self._session

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: One of its kinds, for everything that can go wrong.
        """
        if request.schema is not None and self._schema_mode:
            try:
                return await self._post(request, schema_in_words=False)
            except RequestRefused as error:
                if not any(word in str(error) for word in _NO_SCHEMA_MODE):
                    raise
                self._schema_mode = False
        return await self._post(request, schema_in_words=True)

    async def _post(self, request: ModelRequest, *, schema_in_words: bool) -> ModelAnswer:
        body = chat_body(request, request.model, schema_in_words=schema_in_words)
        started = time.perf_counter()
        async with self._failures_named(request.model):
            session = await self._open()
            async with session.post(f"{self._address}/chat/completions", json=body) as response:
                content = await response.content.read(LARGEST_REPLY_BYTES)
                if response.status != 200:
                    text = content.decode("utf-8", "replace")
                    raise refusal(request.model, response.status, text, response.headers)
        latency = time.perf_counter() - started
        try:
            answer = read_chat_answer(json.loads(content), cost_usd=None, latency_s=latency)
        except ValueError as error:
            raise ServerFailed(request.model, str(error)) from error
        return priced(answer, self.price)

    async def names(self) -> list[str]:
        """Return the models that the server says it has.

        Raises:
            ModelError: The server does not answer, or not so.
        """
        name = self._settings.name
        async with self._failures_named(name):
            session = await self._open()
            async with session.get(f"{self._address}/models") as response:
                content = await response.content.read(LARGEST_REPLY_BYTES)
                if response.status != 200:
                    text = content.decode("utf-8", "replace")
                    raise refusal(name, response.status, text, response.headers)
        try:
            return [str(model["id"]) for model in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ServerFailed(name, "its list of models cannot be read.") from error

    @asynccontextmanager
    async def _failures_named(self, model: str) -> AsyncGenerator[None]:
        import aiohttp

        try:
            yield
        except TimeoutError as error:
            raise AnswerTimedOut(model, self._timeout_s) from error
        except aiohttp.ClientError as error:
            raise ServerDown(model, f"{self._address}: {error}.") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def refusal(model: str, status: int, text: str, headers: Mapping[str, str]) -> ModelError:
    """Return the error for a reply that is not 200."""
    said = _said(text)
    wait = retry_after(headers)
    match status:
        case 401 | 403:
            return KeyRefused(model, said)
        case 404:
            return UnknownModel(model, [], said)
        case 408 | 409 | 425:
            return ServerFailed(model, said, wait)
        case 429:
            return RateLimited(model, said, wait)
        case _ if status >= 500:
            return ServerFailed(model, said, wait)
        case _ if any(words in said.lower() for words in _OVERFLOW):
            return ContextOverflow(model, said)
        case _:
            return RequestRefused(model, said)


def _said(text: str) -> str:
    """Return the message in an error reply, or its text."""
    try:
        error: JsonSchema | str = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return text or "no reason given."
    return error if isinstance(error, str) else str(error.get("message", error))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None where it names none."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    return None
