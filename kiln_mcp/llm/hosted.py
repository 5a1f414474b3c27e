"""Hosted models through litellm, which is imported when the first of them is asked."""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import anyio
import anyio.to_thread

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
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.openai_format import chat_body, read_chat_answer
from kiln_mcp.llm.prices import litellm_price, priced

# litellm fetches its price map at import and reports usage unless it is told not to.
_QUIET: Final[Mapping[str, str]] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
}


def load_litellm() -> Any:  # litellm has no usable types
    """Import litellm without any contact to the network; takes seconds, so call it in a thread."""
    os.environ.update(_QUIET)
    litellm = cast("Any", importlib.import_module("litellm"))
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.drop_params = True
    litellm.callbacks = []
    return litellm


class HostedModel:
    """Every model that litellm knows, by its names."""

    def __init__(self, environment: Mapping[str, str], timeout_s: float) -> None:
        self._environment = environment
        self._timeout_s = timeout_s
        self._litellm: Any = None
        self._loading = anyio.Lock()

    async def _library(self) -> Any:
        async with self._loading:
            if self._litellm is None:
                self._litellm = await anyio.to_thread.run_sync(load_litellm)
            return self._litellm

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: One of its kinds, for everything that can go wrong.
        """
        litellm = await self._library()
        key = await self._key(litellm, request.model)
        native = _speaks_schemas(litellm, request.model)
        body = chat_body(request, request.model, schema_in_words=not native)
        provider = request.model.partition("/")[0].upper()
        address = next(filter(None, map(self._environment.get, _addresses(provider))), None)
        started = time.perf_counter()
        try:
            with anyio.fail_after(self._timeout_s):
                reply = await litellm.acompletion(
                    **body,
                    api_key=key,
                    api_base=address,
                    timeout=self._timeout_s,
                    num_retries=0,
                    max_retries=0,
                )
        except TimeoutError as error:
            raise AnswerTimedOut(request.model, self._timeout_s) from error
        except litellm.openai.OpenAIError as error:  # the root of all of litellm's errors
            raise translated(litellm, request.model, error) from error
        latency = time.perf_counter() - started
        try:
            return priced(
                read_chat_answer(reply.model_dump(), cost_usd=None, latency_s=latency),
                litellm_price(request.model),
            )
        except ValueError as error:
            raise ServerFailed(request.model, str(error)) from error

    async def _key(self, litellm: Any, model: str) -> str | None:
        found = litellm.validate_environment(model)
        missing = [str(name) for name in found.get("missing_keys", ())]
        if found.get("keys_in_environment") or not missing:
            return None
        for variable in missing:
            key = await find_key(variable, self._environment)
            if key:
                return key
        raise MissingKey(model, missing)


def _addresses(provider: str) -> tuple[str, str]:
    """Return the variables that may name another address for a provider."""
    return f"{provider}_BASE_URL", f"{provider}_API_BASE"


def _speaks_schemas(litellm: Any, model: str) -> bool:
    return bool(litellm.supports_response_schema(model=model))


def translated(litellm: Any, model: str, error: Exception) -> ModelError:
    """Return our error for one of litellm's; the most special class wins."""
    known = litellm.exceptions
    said = str(getattr(error, "message", error))
    makers: tuple[tuple[type[Exception], Callable[[], ModelError]], ...] = (
        (known.ContextWindowExceededError, lambda: ContextOverflow(model, said)),
        (known.AuthenticationError, lambda: KeyRefused(model, said)),
        (known.PermissionDeniedError, lambda: KeyRefused(model, said)),
        (known.NotFoundError, lambda: UnknownModel(model, ["embedded"], said)),
        (known.RateLimitError, lambda: RateLimited(model, said, retry_after_s(error))),
        (known.Timeout, lambda: AnswerTimedOut(model, 0)),
        (known.APIConnectionError, lambda: ServerDown(model, said)),
        (known.ServiceUnavailableError, lambda: ServerFailed(model, said, retry_after_s(error))),
        (known.InternalServerError, lambda: ServerFailed(model, said, retry_after_s(error))),
        (known.BadGatewayError, lambda: ServerFailed(model, said, retry_after_s(error))),
        (known.BadRequestError, lambda: _refused(model, said)),
        (known.UnprocessableEntityError, lambda: RequestRefused(model, said)),
    )
    if _has_cause(error, litellm.openai.APIConnectionError):
        # litellm calls it an internal error of a server that it never reached.
        return ServerDown(model, said)
    for kind, make in makers:
        if isinstance(error, kind):
            return make()
    if getattr(error, "status_code", 0) == 403:  # litellm knows it for some providers only
        return KeyRefused(model, said)
    return ServerFailed(model, said)


def _has_cause(error: BaseException | None, kind: type[Exception]) -> bool:
    while error is not None:
        if type(error) is kind:
            return True
        error = error.__cause__ or error.__context__
    return False


def _refused(model: str, said: str) -> ModelError:
    # litellm has no class of its own for a name without a provider; this is its sentence.
    if "LLM Provider NOT provided" in said:
        return UnknownModel(model, ["embedded"])
    return RequestRefused(model, said)


def retry_after_s(error: Exception) -> float | None:
    """Return the seconds that a reply's Retry-After header asks to wait."""
    response = getattr(error, "response", None)
    value = getattr(response, "headers", {}).get("retry-after")
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
