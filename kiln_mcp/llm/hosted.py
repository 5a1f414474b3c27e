"""Hosted models through litellm, by its names; imported when first used.

litellm takes seconds to import and would fetch a price map from the network as it does, so it is
imported in a thread, with that and its telemetry switched off.
"""

import os
import time
from functools import partial
from typing import Any, cast

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
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.openai_format import chat_body, read_chat_answer


def import_litellm() -> Any:
    """Import litellm without its reaching for the network."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    library = cast("Any", litellm)
    library.telemetry = False
    library.suppress_debug_info = True
    library.drop_params = True
    return library


class HostedModel:
    """Any model that litellm knows by name."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    @property
    def identity(self) -> str:
        """What the answers depend on beside the request: the name alone."""
        return "hosted"

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Ask the provider.

        Raises:
            ModelError: The reason, mapped from litellm's.
        """
        litellm = await anyio.to_thread.run_sync(import_litellm)
        self._check_name(litellm, request.model)
        body = chat_body(request, request.model, schema_in_words=False)
        started = time.perf_counter()
        try:
            reply = await litellm.acompletion(**body, timeout=self._timeout_s, num_retries=0)
        except Exception as error:
            mapped = _mapped(litellm, request.model, error, self._timeout_s)
            if mapped is None:
                raise
            raise mapped from error
        latency = time.perf_counter() - started
        cost = await anyio.to_thread.run_sync(partial(_cost, litellm, reply))
        return read_chat_answer(reply.model_dump(), cost_usd=cost, latency_s=latency)

    @staticmethod
    def _check_name(litellm: Any, model: str) -> None:
        try:
            litellm.get_llm_provider(model)
        except Exception as error:
            raise UnknownModel(model, ["embedded"], "litellm knows no such provider") from error
        missing = litellm.validate_environment(model)
        if not missing.get("keys_in_environment") and missing.get("missing_keys"):
            raise MissingKey(model, missing["missing_keys"])


def price_usd(model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Return what a call of this size costs in US dollars; None where the price is not known."""
    litellm = import_litellm()
    try:
        read, written = litellm.cost_per_token(
            model=model, prompt_tokens=input_tokens, completion_tokens=output_tokens
        )
    except Exception:  # noqa: BLE001 - litellm raises many kinds for a model without a price
        return None
    return float(read) + float(written)


def _cost(litellm: Any, reply: Any) -> float | None:
    try:
        return float(litellm.completion_cost(reply))
    except Exception:  # noqa: BLE001 - litellm raises many kinds for a model without a price
        return None


def _mapped(litellm: Any, model: str, error: Exception, timeout_s: float) -> ModelError | None:
    """Return our error for litellm's; None for what is no answer of a provider."""
    said = str(error)
    kinds = litellm.exceptions
    makers = (
        (kinds.Timeout, lambda: AnswerTimedOut(model, timeout_s)),
        (kinds.AuthenticationError, lambda: KeyRefused(model, said)),
        (kinds.PermissionDeniedError, lambda: KeyRefused(model, said)),
        (kinds.RateLimitError, lambda: RateLimited(model, said)),
        (kinds.NotFoundError, lambda: UnknownModel(model, ["embedded"], said)),
        (kinds.ContextWindowExceededError, lambda: ContextOverflow(model, said)),
        (kinds.BadRequestError, lambda: RequestRefused(model, said)),
        (kinds.APIConnectionError, lambda: ServerDown(model, said)),
        (kinds.APIError, lambda: ServerFailed(model, said)),
    )
    for kind, make in makers:
        if isinstance(error, kind):
            return make()
    return None
