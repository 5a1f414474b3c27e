"""The embedded model: llama.cpp in this process, no key, no network.

Several threads on one model slow each other down (measured on two cores). So each instance has one
thread, and there are as many instances as cores, two at most (`embedded_instances`).
"""

import asyncio
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from kiln_mcp.llm.deltas import AnswerStream
from kiln_mcp.llm.errors import ContextOverflow, RejectedRequest
from kiln_mcp.llm.messages import JsonSchema, ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import FREE, with_cost
from kiln_mcp.llm.providers.answer_bounds import answer_tokens, bound_answer
from kiln_mcp.llm.providers.embedded_instances import FULL, Instances, Server, start_server
from kiln_mcp.llm.providers.embedded_parts import check_embedded_model, find_embedded_model
from kiln_mcp.llm.providers.forced_generation import ChunkHandler, ForcedGeneration
from kiln_mcp.llm.providers.forced_text import ForcedAnswer, forced_answer
from kiln_mcp.llm.providers.openai_format import chat_body
from kiln_mcp.llm.providers.stream_assembly import Assembly

MOST_INSTANCES: Final = 2
IN_FLIGHT: Final = 4
"""Requests in flight for each instance: of those that wait, the one that it knows is taken."""


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """How the embedded model runs.

    Attributes:
        path: A GGUF file of the user's own; None for the one that `kiln-mcp models pull` fetched.
        context_tokens: The longest request and answer together.
        instances: How many requests run at once; 0 for one a core, two at most.
        adapter: A GGUF file of LoRA weights that lie over the model's; None for none.
    """

    path: Path | None = None
    context_tokens: int = 4096
    instances: int = 0
    adapter: Path | None = None


class _Writer:
    """Lets an instance answer a request."""

    def __init__(self, context_tokens: int, *, has_adapter: bool) -> None:
        self._context_tokens = context_tokens
        # It is always sent: an empty list would mean all adapters.
        self._scales = {"lora": [{"id": 0, "scale": FULL}]} if has_adapter else {}
        self._refused_schemas: set[str] = set()

    def ask(self, server: Server, request: ModelRequest, handler: ChunkHandler) -> None:
        """Pass the reply's chunks on."""
        stream: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        stream |= self._scales
        if request.raw_text is not None:
            server.handle_completions(raw_body(request, self._context_tokens) | stream, handler)
            return
        body = grammar_body(request, self._context_tokens) | stream
        plan = forced_part(request, body)
        if plan is not None:
            key = json.dumps(plan.schema)
            if key not in self._refused_schemas:
                if ForcedGeneration(server, body, plan, handler).run():
                    return
                self._refused_schemas.add(key)
        server.handle_chat_completions(body, handler)


class _ChunkQueue:
    """The queue of a reply's chunks, from the model's thread to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._is_stopped = False

    def take(self, chunk: dict[str, Any]) -> bool:
        """Take a chunk, in the model's thread; return whether to stop the model."""
        self._enqueue(chunk)
        return self._is_stopped

    def end(self, _: Future[float]) -> None:
        """Mark the end of the chunks."""
        self._enqueue(None)

    def _enqueue(self, chunk: dict[str, Any] | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except RuntimeError:  # the loop has ended: no reader is left
            self._is_stopped = True

    async def next(self) -> dict[str, Any] | None:
        """Return the next chunk; None at the end."""
        return await self._chunks.get()

    def stop(self) -> None:
        """Let the model stop at its next token."""
        self._is_stopped = True


def _default_instances() -> int:
    return max(1, min(MOST_INSTANCES, os.cpu_count() or 1))


class EmbeddedModel:
    """The embedded model; its file is found and loaded at the first request."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._instances = settings.instances or _default_instances()
        self._model_instances: Instances | None = None

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight; each instance answers one of them at a time."""
        return IN_FLIGHT * self._instances

    @property
    def identity(self) -> str:
        """What the answers depend on: the file's name and size."""
        path = self._settings.path or find_embedded_model()
        if path is None or not path.is_file():
            return "embedded"
        return f"embedded {path.name} {path.stat().st_size}"

    def check_ready(self) -> None:
        """Check that all is there to answer with.

        Raises:
            ModelError: llama.cpp or the model's file is not there.
        """
        check_embedded_model(self._settings.path)

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Answer a request.

        Raises:
            ModelError: llama.cpp or the model's file is not there.
            ContextOverflow: The request is too long.
            RejectedRequest: The request cannot be served, for example its schema.
        """
        async with aclosing(self.stream(request)) as parts:
            async for part in parts:
                if isinstance(part, ModelAnswer):
                    return part
        raise AssertionError("a stream ends with the answer")

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Answer a request token by token, in a thread. Closing the stream stops the model.

        Raises:
            ModelError: As `complete`.
        """
        instances = self._model_instances or self._open()
        chunks = _ChunkQueue()
        assembly = Assembly(request.model)
        work = instances.submit(request, chunks.take)
        work.add_done_callback(chunks.end)
        try:
            while (chunk := await chunks.next()) is not None:
                _raise_for_error(request.model, chunk)
                for delta in assembly.feed(chunk):
                    yield delta
        finally:
            chunks.stop()
            work.cancel()
        for delta in assembly.end():
            yield delta
        yield with_cost(assembly.answer(work.result()), FREE)

    def _open(self) -> Instances:
        path = check_embedded_model(self._settings.path)
        context_tokens, adapter = self._settings.context_tokens, self._settings.adapter
        writer = _Writer(context_tokens, has_adapter=adapter is not None)
        start = partial(start_server, path, context_tokens, adapter)
        self._model_instances = Instances(start, writer.ask, self._instances)
        return self._model_instances

    async def close(self) -> None:
        """Free the model's memory."""
        if self._model_instances is not None:
            self._model_instances.close()
        self._model_instances = None


def choice_grammar(choices: tuple[str, ...]) -> str:
    """Return the GBNF grammar that allows exactly these texts."""
    return "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)


def grammar_body(request: ModelRequest, context_tokens: int) -> dict[str, Any]:
    """Return llama.cpp's chat request, with its answer bound by a grammar."""
    body = chat_body(request, "embedded", choices_in_words=False)
    body["seed"] = request.sampling_seed
    body["cache_prompt"] = True
    body.pop("response_format", None)
    if request.choices:
        body["grammar"] = choice_grammar(request.choices)
    elif request.schema is not None:
        tokens = answer_tokens(request, context_tokens)
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": bound_answer(request.schema, tokens)},
        }
    return body


def forced_part(request: ModelRequest, body: Mapping[str, Any]) -> ForcedAnswer | None:
    """Return what is forced in a request's answer; None if nothing is.

    Only the most probable answer is the same with forced text: a draw at random takes a number for
    each token. Logprobs, stop texts and tool calls need each token of the answer.
    """
    is_plain = not (request.top_logprobs or request.stop or request.tools or request.choices)
    if request.schema is None or request.temperature > 0 or not is_plain:
        return None
    answers = [message.content for message in request.messages if message.role == "assistant"]
    schema: JsonSchema = body["response_format"]["json_schema"]["schema"]
    return forced_answer(schema, answers[-1] if answers else "")


def raw_body(request: ModelRequest, context_tokens: int) -> dict[str, Any]:
    """Return llama.cpp's completion request: no chat template."""
    body: dict[str, Any] = {
        "prompt": request.raw_text,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.sampling_seed,
        "stop": list(request.stop),
        "cache_prompt": True,
    }
    if request.top_logprobs:
        body["logprobs"] = request.top_logprobs
    if request.choices:
        body["grammar"] = choice_grammar(request.choices)
    elif request.schema is not None:
        tokens = answer_tokens(request, context_tokens)
        body["json_schema"] = bound_answer(request.schema, tokens)
    return body


def _raise_for_error(model: str, reply: dict[str, Any]) -> None:
    error = reply.get("error")
    if error is None:
        return
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        raise ContextOverflow(model, message)
    raise RejectedRequest(model, message)
