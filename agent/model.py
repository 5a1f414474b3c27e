"""The models that hold the conversation."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import anyio.lowlevel
import anyio.to_thread

from agent.errors import ModelFailed
from agent.messages import Message, ToolCall, ToolDefinition


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of an answer while it is being written."""

    text: str


Answer = AsyncGenerator[Piece | Message]
"""Pieces of text as they come, then the whole message, last."""


class ChatModel(Protocol):
    """Anything that can hold a conversation with tools."""

    @property
    def name(self) -> str:
        """What the person calls it."""
        ...

    def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Answer the conversation so far.

        Raises:
            ModelFailed: No answer came.
        """
        ...


class ScriptedChatModel:
    """Answers written beforehand, for tests: a message, or a function of the conversation."""

    name = "scripted"

    def __init__(self, *answers: Message | Callable[[Sequence[Message]], Message]) -> None:
        self._answers = list(answers)
        self.heard: list[tuple[Message, ...]] = []

    async def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Give the next answer."""
        await anyio.lowlevel.checkpoint()
        self.heard.append(tuple(messages))
        if not self._answers:
            raise ModelFailed(self.name, "its script is at its end.")
        given = self._answers.pop(0)
        message = given(messages) if callable(given) else given
        if message.text:
            yield Piece(message.text)
        yield message


class LiteLlmChatModel:
    """Any model that litellm knows by name, or of an OpenAI-compatible server."""

    def __init__(self, name: str, *, api_base: str | None = None) -> None:
        self._name = name
        self._api_base = api_base

    @property
    def name(self) -> str:
        """The model's litellm name."""
        return self._name

    async def answer(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> Answer:
        """Stream the model's answer.

        Raises:
            ModelFailed: The provider refuses, or nothing answers.
        """
        litellm = await anyio.to_thread.run_sync(_import_litellm)
        chunks: list[Any] = []
        try:
            stream = await litellm.acompletion(
                model=self._name,
                messages=[_as_openai(message) for message in messages],
                tools=[_tool(tool) for tool in tools] or None,
                stream=True,
                num_retries=2,
                **self._server(),
            )
            async for chunk in stream:
                chunks.append(chunk)
                text = _text_of(chunk)
                if text:
                    yield Piece(text)
        except Exception as error:
            if type(error).__module__.split(".")[0] not in {"litellm", "openai", "httpx"}:
                raise
            raise ModelFailed(self._name, str(error)) from error
        yield _whole(litellm.stream_chunk_builder(chunks), self._name)

    def _server(self) -> dict[str, str]:
        if self._api_base is None:
            return {}
        # Servers of one's own rarely want a key, but the client insists on one.
        return {"api_base": self._api_base, "api_key": os.environ.get("OPENAI_API_KEY", "none")}


def _import_litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    library = cast("Any", litellm)
    library.telemetry = False
    library.suppress_debug_info = True
    return library


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
    import json

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
        raise ModelFailed(model, "its answer was empty.")
    message = choices[0].message
    calls = tuple(
        ToolCall(str(call.id), str(call.function.name), str(call.function.arguments or "{}"))
        for call in message.tool_calls or ()
    )
    return Message("assistant", str(message.content or ""), calls)
