"""Any model that litellm knows by name, or of an OpenAI-compatible server.

litellm takes seconds to import and would fetch a price map from the network as it does, so it is
imported when the first answer is asked for, with that switched off.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import anyio
import anyio.to_thread

from agent.errors import (
    KeyRefused,
    ModelError,
    ModelFailed,
    NoSuchModel,
    ServerDown,
    TooLong,
    UnusableAddress,
)
from agent.messages import Message, ToolCall, ToolDefinition
from agent.model import Answer, Piece

_CLOSING_S = 2.0
"""Seconds that closing a stream may take after it was stopped."""
_LIBRARIES = frozenset({"litellm", "openai", "httpx", "aiohttp"})


@dataclass(frozen=True, slots=True)
class ModelServer:
    """An OpenAI-compatible server.

    Attributes:
        url: Its base address, with /v1.
        key: What it wants as a key; None where it wants none.
        login: The value of the header Authorization for a name and a password; None for none. It
            is shown nowhere.
    """

    url: str
    key: str | None = None
    login: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, address: str, key: str | None) -> Self:
        """Return the server at an address, which may hold a name and a password.

        Raises:
            UnusableAddress: It is no address of a web server.
        """
        try:
            parts = urlsplit(address)
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            name, password, _ = parts.username, parts.password, parts.port
        except ValueError:
            is_usable, parts, name, password = False, urlsplit(""), None, None
        if not is_usable:
            raise UnusableAddress
        if name is None and password is None:
            return cls(address, key)
        pair = f"{unquote(name or '')}:{unquote(password or '')}".encode()
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return cls(plain, key, f"Basic {base64.b64encode(pair).decode()}")


class LiteLlmChatModel:
    """A model behind litellm."""

    def __init__(self, name: str, server: ModelServer | None = None) -> None:
        self._name = name
        self._server = server

    @property
    def name(self) -> str:
        """The model's litellm name, or the name that its server gives it."""
        return self._name

    async def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Stream the model's answer.

        Raises:
            ModelError: One of its kinds, for everything that can go wrong.
        """
        litellm = await anyio.to_thread.run_sync(import_litellm, abandon_on_cancel=True)
        chunks: list[Any] = []
        stream: Any = None
        try:
            stream = await litellm.acompletion(
                model=self._litellm_name(litellm),
                messages=[_as_openai(message) for message in messages],
                tools=[_tool(tool) for tool in tools] or None,
                stream=True,
                num_retries=2,
                **self._address(),
            )
            async for chunk in stream:
                chunks.append(chunk)
                text = _text_of(chunk)
                if text:
                    yield Piece(text)
            whole = litellm.stream_chunk_builder(chunks)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _LIBRARIES:
                raise
            raise self._translated(litellm, error) from error
        finally:
            if stream is not None:
                with anyio.move_on_after(_CLOSING_S, shield=True):
                    await stream.aclose()
        yield _whole(whole, self._name)

    def _litellm_name(self, litellm: Any) -> str:
        """Return the name with its provider: a server's own names rarely have one."""
        provider = self._name.partition("/")[0]
        if self._server is None or provider in litellm.provider_list:
            return self._name
        return f"openai/{self._name}"

    def _address(self) -> dict[str, Any]:
        """Return the server's address. The OpenAI key of the environment is not sent to it."""
        if self._server is None:
            return {}
        # Servers of one's own rarely want a key, but the client insists on one.
        address = {"api_base": self._server.url, "api_key": self._server.key or "none"}
        if self._server.login is None:
            return address
        return {**address, "extra_headers": {"Authorization": self._server.login}}

    def _translated(self, litellm: Any, error: Exception) -> ModelError:
        """Return our error for one of litellm's; the most special class wins."""
        known = litellm.exceptions
        reason = _plain(str(getattr(error, "message", error)))
        match error:
            case known.ContextWindowExceededError():
                return TooLong(self._name)
            case known.AuthenticationError() | known.PermissionDeniedError():
                return KeyRefused(self._name, self._missing_keys(litellm), reason)
            case known.NotFoundError():
                return NoSuchModel(self._name, reason)
            case known.BadRequestError() if "LLM Provider NOT provided" in reason:
                return NoSuchModel(self._name, "its provider is not known")
            case _ if "Missing credentials" in reason:
                return KeyRefused(self._name, self._missing_keys(litellm), reason)
            case _ if _never_connected(litellm, error):
                return ServerDown(self._name, self._server.url if self._server else None)
            case _:
                return ModelFailed(self._name, reason)

    def _missing_keys(self, litellm: Any) -> list[str]:
        if self._server is not None:
            has_one = self._server.key or self._server.login
            return [] if has_one else ["KILN_CHAT_API_KEY"]
        found = litellm.validate_environment(self._name)
        return [str(name) for name in found.get("missing_keys", ())]


def import_litellm() -> Any:
    """Import litellm without its reaching for the network."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    library = cast("Any", litellm)
    library.telemetry = False
    library.suppress_debug_info = True
    return library


def _never_connected(litellm: Any, error: BaseException) -> bool:
    """Whether a connection that failed is behind it; litellm calls that a server's error."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause) is litellm.openai.APIConnectionError:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _plain(reason: str) -> str:
    """Return the provider's words without the names of litellm's classes before them."""
    _, dash, said = reason.rpartition("Exception - ")
    return said if dash else reason


def _as_openai(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    if message.call_id is not None:
        body["tool_call_id"] = message.call_id
    return body


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
    }
    return {"type": "function", "function": function}


def _text_of(chunk: Any) -> str:
    choices = cast("list[Any]", getattr(chunk, "choices", None) or [])
    return str(getattr(choices[0].delta, "content", "") or "") if choices else ""


def _whole(response: Any, model: str) -> Message:
    choices = getattr(response, "choices", None)
    if not choices:
        raise ModelFailed(model, "its answer was empty")
    message = choices[0].message
    calls: list[ToolCall] = []
    for number, call in enumerate(message.tool_calls or ()):
        given = str(call.id or "")
        taken = not given or any(given == other.id for other in calls)
        # Some servers number no calls, or all alike; an answer must be able to name its call.
        name = f"{given}call-{number}" if taken else given
        calls.append(ToolCall(name, str(call.function.name), str(call.function.arguments or "{}")))
    if not (message.content or calls):
        raise ModelFailed(model, "its answer was empty")
    return Message("assistant", str(message.content or ""), tuple(calls))
