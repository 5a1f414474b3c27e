"""Hosted models through litellm, which is imported once, at the first request."""

import importlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import anyio
import anyio.to_thread

from kiln_mcp.llm.abilities import Abilities, Ability, ObservedAbilities
from kiln_mcp.llm.deltas import AnswerStream
from kiln_mcp.llm.errors import (
    ContextOverflow,
    ModelError,
    RejectedRequest,
    ServerFailure,
    TooManyRequests,
    UnknownModel,
)
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import litellm_abilities, litellm_price, with_cost, with_token_count
from kiln_mcp.llm.providers.addresses import ServerAddress
from kiln_mcp.llm.providers.dialect import STANDARD, Dialect
from kiln_mcp.llm.providers.dialect_loop import DialectLoop
from kiln_mcp.llm.providers.dialects import Dialects, ServerDialects, abilities_in
from kiln_mcp.llm.providers.http_errors import (
    causes,
    is_out_of_credit,
    litellm_message,
    out_of_credit,
    retry_after,
    status_of,
    timeout,
    unreachable,
    unreadable_answer,
)
from kiln_mcp.llm.providers.keys import find_key, missing_key, rejected_key
from kiln_mcp.llm.providers.litellm_names import key_variables
from kiln_mcp.llm.providers.openai_format import CUT_OFF, chat_body, read_chat_answer
from kiln_mcp.llm.providers.prompt_cache import takes_marks, with_cache_marks
from kiln_mcp.llm.providers.stream_assembly import Assembly
from storage.text.secret_masks import forms_of, mask_address, mask_environment, mask_secrets

CLOSING_S: Final = 2.0
"""Seconds that closing a stream may take after it was stopped."""
_LIBRARIES: Final = frozenset({"litellm", "openai", "httpx", "aiohttp"})
_BROKEN_OFF: Final = frozenset({"ClientPayloadError", "RemoteProtocolError", "ReadError"})
_NEVER_REACHED: Final = frozenset({"ClientConnectorError", "ConnectError", "ConnectTimeout"})
"""The names of aiohttp's and httpx' errors for a reply that ends too early, or never begins."""
_REFUSALS: Final = frozenset({"HTTPStatusError", "APIStatusError"})
_UNREADABLE: Final = frozenset({"ValidationError", "JSONDecodeError"})
_UNREADABLE_WORDS: Final = (
    "Invalid response object",
    "Empty or invalid response",
    "provider returned 'choices'",
)
"""The names of errors, and litellm's own words, for a reply of 200 that it cannot read."""
# litellm fetches its price map at import and reports usage unless it is told not to. Outside of
# "production" it also takes over every variable of a .env in the working folder.
_QUIET: Final[Mapping[str, str]] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
}


@lru_cache(maxsize=1)
def load_litellm() -> Any:  # litellm has no usable types
    """Import litellm once, without contact to the network; it takes seconds, in a thread."""
    os.environ.update(_QUIET)
    litellm = cast("Any", importlib.import_module("litellm"))
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.drop_params = False  # said with each request, see `_send`
    litellm.callbacks = []
    return litellm


_users: Final[set["HostedModel"]] = set()
"""Who may have open connections of litellm: all of a process share them."""


class HostedModel:
    """Every model that litellm knows, by its names."""

    def __init__(
        self, environment: Mapping[str, str], timeout_s: float, dialects: Dialects
    ) -> None:
        self._environment = environment
        self._timeout_s = timeout_s
        self._litellm: Any = None
        self._secrets: frozenset[str] = frozenset()  # the keys that were sent
        self._loading = anyio.Lock()
        self._observations = ObservedAbilities()
        self._all_dialects = dialects

    def abilities(self, model: str) -> Abilities:
        """Return a model's abilities: learned, shown since this process began, or by the table."""
        dialects = self._dialects(model)
        lessons = abilities_in(dialects.of(model), dialects.facts(model))
        return lessons.over(self._observations.of(model)).over(litellm_abilities(model))

    def lessons(self, model: str) -> tuple[str, ...]:
        """Return what was learned of a model's dialect, as sentences."""
        return self._dialects(model).lessons(model)

    def forget(self, model: str) -> None:
        """Forget what was learned of a model's dialect, and what it has shown."""
        self._dialects(model).forget(model)
        self._observations.forget(model)

    def _dialects(self, model: str, default: Dialect = STANDARD) -> ServerDialects:
        address = mask_address(self._address(model) or "")
        return self._all_dialects.of_server(f"litellm {address}".strip(), default)

    async def _loop(self, model: str) -> DialectLoop:
        """Return the way to a model; litellm knows which take a schema."""
        litellm = await self._library()
        has_schema_mode = bool(litellm.supports_response_schema(model=model))
        default = Dialect(json_mode="schema" if has_schema_mode else "words")
        return DialectLoop(self._dialects(model, default), self._complete_once, self._stream_once)

    async def _library(self) -> Any:
        async with self._loading:
            if self._litellm is None:
                self._litellm = await anyio.to_thread.run_sync(load_litellm)
                _users.add(self)
            return self._litellm

    async def prepare(self) -> None:
        """Import litellm, so that the first request does not wait for it."""
        await self._library()

    async def close(self) -> None:
        """Close litellm's connections, which it keeps for ever, once nobody uses it."""
        if self._litellm is None:
            return
        _users.discard(self)
        if not _users:
            await self._litellm.close_litellm_async_clients()
            self._litellm.in_memory_llm_clients_cache.flush_cache()
        self._litellm = None

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: Whatever goes wrong.
        """
        return await (await self._loop(request.model)).complete(request)

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request while it is being written.

        Raises:
            ModelError: Whatever goes wrong, also in the middle of an answer.
        """
        loop = await self._loop(request.model)
        async with aclosing(loop.stream(request)) as parts:
            async for part in parts:
                yield part

    async def _complete_once(self, request: ModelRequest, dialect: Dialect) -> ModelAnswer:
        litellm = await self._library()
        arguments = await self._arguments(litellm, request, dialect)
        started = time.perf_counter()
        async with self._translate_failures(litellm, request.model):
            with anyio.fail_after(self._timeout_s):
                reply = await _send(litellm, arguments)
        latency = time.perf_counter() - started
        mask = self._mask_for(request.model)
        answer = read_chat_answer(request.model, reply.model_dump(), latency_s=latency, mask=mask)
        await self._observations.take(request, answer, dialect.json_mode_of(request))
        return with_cost(with_token_count(answer, request), litellm_price(request.model))

    async def _stream_once(self, request: ModelRequest, dialect: Dialect) -> AnswerStream:
        litellm = await self._library()
        arguments = await self._arguments(litellm, request, dialect)
        arguments["stream"] = True
        if dialect.streaming_usage == "yes":
            arguments["stream_options"] = {"include_usage": True}
        assembly = Assembly(request.model, self._mask_for(request.model))
        started = time.perf_counter()
        async with self._translate_failures(litellm, request.model):
            with anyio.fail_after(self._timeout_s):
                stream = await _send(litellm, arguments)
            try:
                while (chunk := await self._next(stream, assembly)) is not None:
                    for delta in assembly.feed(chunk):
                        yield delta
            finally:
                with anyio.move_on_after(CLOSING_S, shield=True):
                    await stream.aclose()
        for delta in assembly.end():
            yield delta
        if _broke_off(stream):
            raise _broken_stream(request.model, assembly)
        assembly.add_total(_total_tokens(stream))
        answer = assembly.answer(time.perf_counter() - started)
        if assembly.is_empty and answer.finish == "stop":
            # litellm returns an empty answer for a reply that it cannot read.
            raise unreadable_answer(request.model, "it is empty.")
        self._observations.learn(request.model, "streaming", Ability.SEEN)
        await self._observations.take(request, answer, dialect.json_mode_of(request))
        yield with_cost(with_token_count(answer, request), litellm_price(request.model))

    async def _next(self, stream: Any, assembly: Assembly) -> Mapping[str, Any] | None:
        """Return the next chunk of a stream; None at its end, or if only its usage is broken."""
        try:
            with anyio.fail_after(self._timeout_s):
                chunk = await anext(stream, None)
        except Exception:
            if assembly.finished:
                return None
            raise
        return None if chunk is None else chunk.model_dump()

    async def _arguments(
        self, litellm: Any, request: ModelRequest, dialect: Dialect
    ) -> dict[str, Any]:
        key = await self._key(litellm, request.model)
        body = chat_body(request, request.model, dialect)
        if request.comes_again and takes_marks(request.model):
            body = with_cache_marks(body)
        return body | {
            "api_key": key,
            "api_base": self._address(request.model),
            "timeout": self._timeout_s,
            "num_retries": 0,
            "max_retries": 0,
        }

    def _address(self, model: str) -> str | None:
        """Return the address that the environment names for a provider; None for its own."""
        provider = model.partition("/")[0].upper()
        variables = (f"{provider}_BASE_URL", f"{provider}_API_BASE")
        return next(filter(None, map(self._environment.get, variables)), None)

    def _mask_for(self, model: str) -> Callable[[str], str]:
        """Return a function that masks the secrets which a provider was sent."""
        secrets = self._secrets | ServerAddress.of(self._address(model) or "").secrets
        return lambda text: mask_secrets(mask_environment(text, self._environment), secrets)

    @asynccontextmanager
    async def _translate_failures(self, litellm: Any, model: str) -> AsyncGenerator[None]:
        try:
            yield
        except TimeoutError as error:
            raise timeout(model, self._timeout_s) from error
        except Exception as error:
            # litellm passes on errors of the libraries below it, most of all in a stream.
            if type(error).__module__.partition(".")[0] not in _LIBRARIES:
                raise
            address = (
                mask_address(self._address(model) or "") or f"{model.partition('/')[0]}'s address"
            )
            message = self._mask_for(model)(str(getattr(error, "message", error)))
            destination = Destination(model, address, self._timeout_s)
            raise translate_error(litellm, destination, error, litellm_message(message)) from error

    async def _key(self, litellm: Any, model: str) -> str | None:
        report = litellm.validate_environment(model)
        # litellm counts addresses among them, which have a default.
        variables = [str(name) for name in report.get("missing_keys", ())]
        missing = [name for name in variables if not name.endswith(("_BASE", "_URL"))]
        if report.get("keys_in_environment") or not missing:
            return None
        for variable in missing:
            key = await find_key(variable, self._environment)
            if key:
                self._secrets |= forms_of(key)
                return key
        raise missing_key(model, missing)


async def _send(litellm: Any, arguments: Mapping[str, Any]) -> Any:
    """Return litellm's reply or stream.

    With `drop_params` litellm leaves out what it knows a provider to refuse. It then returns
    nothing for some refusals, whose words are read without it.
    """
    reply = await litellm.acompletion(**arguments, drop_params=True)
    if reply is None:
        reply = await litellm.acompletion(**arguments, drop_params=False)
    return reply


def _broke_off(stream: Any) -> bool:
    """Return whether a stream ended without a reason; litellm then says "stop" by itself."""
    reasons = ("received_finish_reason", "intermittent_finish_reason")
    return all(getattr(stream, name, "") is None for name in reasons)


def _broken_stream(model: str, assembly: Assembly) -> ModelError:
    """Return the error for a stream without an end: litellm says nothing of one it cannot read."""
    if assembly.is_empty:
        return unreadable_answer(model, "it is empty.")
    return ServerFailure(model, CUT_OFF, is_unanswered=True)


def _total_tokens(stream: Any) -> object:
    """Return the total of a stream's usage as its server said it; litellm computes its own."""
    usages = (getattr(chunk, "usage", None) for chunk in getattr(stream, "chunks", ()))
    return max((getattr(usage, "total_tokens", 0) or 0 for usage in usages), default=0)


@dataclass(frozen=True, slots=True)
class Destination:
    """The model and address of a request, and its time limit."""

    model: str
    address: str
    timeout_s: float


def translate_error(
    litellm: Any, destination: Destination, error: Exception, message: str
) -> ModelError:
    """Return our error for one of litellm's; the most specific class wins."""
    exceptions = litellm.exceptions
    model = destination.model
    codes = [getattr(error, name, None) or "" for name in ("status_code", "code", "type")]
    status = status_of(*codes)
    if is_out_of_credit(status, f"{codes} {message}"):
        return out_of_credit(model, message)
    match error:
        case exceptions.ContextWindowExceededError():
            return ContextOverflow(model, message)
        case exceptions.AuthenticationError() | exceptions.PermissionDeniedError():
            return rejected_key(model, message, key_variables(model))
        case exceptions.NotFoundError():
            return UnknownModel(model, ["embedded"], message)
        case exceptions.RateLimitError():
            return TooManyRequests(model, message, _retry_after(error))
        case exceptions.Timeout():
            return timeout(model, destination.timeout_s)
        # litellm has no class of its own for a name without a provider; this is its sentence.
        case exceptions.BadRequestError() if "LLM Provider NOT provided" in str(error):
            return UnknownModel(model, ["embedded"])
        case exceptions.BadRequestError() | exceptions.UnprocessableEntityError():
            return RejectedRequest(model, message)
        case _ if status == 403:  # litellm knows this for some providers only
            return rejected_key(model, message, key_variables(model))
        case _:
            failure = _connection_failure(litellm, destination, error)
            is_unanswered = status >= 500 and any(codes)
            wait = _retry_after(error)
            return failure or ServerFailure(model, message, wait, is_unanswered=is_unanswered)


def _connection_failure(
    litellm: Any, destination: Destination, error: Exception
) -> ModelError | None:
    """Return the error for a failed connection, which litellm calls a server's error."""
    behind = list(causes(error))
    names = {type(cause).__name__ for cause in behind}
    # litellm's own class of this name stands for any unknown failure.
    failed = any(type(cause) is litellm.openai.APIConnectionError for cause in behind)
    if failed or names & _NEVER_REACHED:
        is_connected = not names & _NEVER_REACHED
        return unreachable(destination.model, destination.address, error, is_connected=is_connected)
    if names & _BROKEN_OFF:
        return ServerFailure(destination.model, CUT_OFF, is_unanswered=True)
    if names & _REFUSALS:
        return None
    if names & _UNREADABLE or any(words in str(error) for words in _UNREADABLE_WORDS):
        return unreadable_answer(destination.model, "it is no chat completion.")
    return None


def _retry_after(error: Exception) -> float | None:
    return retry_after(getattr(getattr(error, "response", None), "headers", None) or {})
