import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from kiln_mcp.llm import (
    EmbeddedSettings,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ModelRequest,
    TextDelta,
)
from kiln_mcp.llm.providers.embedded import EmbeddedModel
from kiln_mcp.llm.providers.forced_generation import ChunkHandler, ForcedGeneration
from kiln_mcp.llm.providers.forced_text import forced_answer

BOOKING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "day": {"type": "string", "enum": ["Monday", "Friday", "Sunday"]},
        "people": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "day", "people"],
}
ANSWER = '{"name": "Ada, \\"the\\", first", "day": "Monday", "people": 3}'
EXAMPLE = '{"name": "x", "day": "Monday", "people": 2}'
PROMPT_TOKENS = 10


class ScriptedServer:
    """Writes one answer, a character a token, as llama.cpp's server does.

    Attributes:
        bodies: The requests so far.
    """

    def __init__(self, answer: str, *, takes_prefix: bool = True, error: str = "") -> None:
        self.bodies: list[dict[str, Any]] = []
        self._answer = answer
        self._takes_prefix = takes_prefix
        self._error = error

    def handle_chat_completions(
        self, body: dict[str, Any], callback: ChunkHandler | None = None
    ) -> dict[str, Any]:
        self.bodies.append(body)
        last = body["messages"][-1]
        prefix = str(last["content"]) if last["role"] == "assistant" else ""
        if self._error or (prefix and not self._takes_prefix):
            failure = {"error": {"type": self._error or "invalid_request_error", "message": "no"}}
            _ = callback(failure) if callback else None
            return failure
        assert self._answer.startswith(prefix)
        rest = self._answer[len(prefix) :]
        ends = [(rest.find(stop), stop) for stop in body.get("stop") or () if stop in rest]
        end, stop = min(ends, default=(len(rest), ""))
        limit = int(body["max_tokens"])
        is_cut = end + len(stop) > limit
        text = rest[: min(end, limit)]
        stop_type = "limit" if is_cut else "word" if stop else "eos"
        details = {
            "content": text,
            "stop_type": stop_type,
            "stopping_word": "" if is_cut else stop,
        }
        prompt_tokens = PROMPT_TOKENS + len(prefix)
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + len(text + stop)}
        final: dict[str, Any] = {"choices": [], "usage": usage, "__verbose": details}
        if callback is None:
            return final
        for character in text:
            delta = {"choices": [{"index": 0, "delta": {"content": character}}]}
            if callback(delta):
                return {}
        callback(final)
        return {}


def ask(
    server: ScriptedServer,
    *,
    max_tokens: int = 200,
    is_stopped: Callable[[dict[str, Any]], bool] = lambda _: False,
) -> tuple[bool, str, list[dict[str, Any]]]:
    """Return what `run` says, the text, and all chunks."""
    messages = [{"role": "user", "content": "?"}]
    forced = forced_answer(BOOKING, EXAMPLE)
    assert forced is not None
    chunks: list[dict[str, Any]] = []

    def take(chunk: dict[str, Any]) -> bool:
        chunks.append(chunk)
        return is_stopped(chunk)

    body = {"messages": messages, "max_tokens": max_tokens, "stream": True}
    is_answered = ForcedGeneration(server, body, forced, take).run()
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    return is_answered, "".join(c["delta"].get("content", "") for c in choices), chunks


def finish(chunks: list[dict[str, Any]]) -> str:
    return str(chunks[-2]["choices"][0]["finish_reason"])


def test_the_answer_is_the_models_and_only_values_are_written() -> None:
    server = ScriptedServer(ANSWER)
    is_answered, text, chunks = ask(server)
    assert is_answered
    assert text == ANSWER
    assert finish(chunks) == "stop"
    prefixes = [body["messages"][-1]["content"] for body in server.bodies]
    assert prefixes[-1] == ANSWER.removesuffix(" 3}")
    assert [prefix for prefix in prefixes if prefix.endswith('"day":')]


def test_forced_text_counts_as_written_and_the_beginning_as_read() -> None:
    _, _, chunks = ask(ScriptedServer(ANSWER))
    usage = chunks[-1]["usage"]
    assert usage["prompt_tokens"] == PROMPT_TOKENS + len('{"name":')
    assert usage["completion_tokens"] == len(ANSWER) - len('{"name":')


def test_an_answer_longer_than_max_tokens_is_told_as_cut_off() -> None:
    for limit in range(1, 30):
        _, text, chunks = ask(ScriptedServer(ANSWER), max_tokens=limit)
        assert finish(chunks) == "length"
        assert ANSWER.startswith(text)


def test_a_model_that_takes_no_prefix_is_left_to_answer_in_one_call() -> None:
    is_answered, text, chunks = ask(ScriptedServer(ANSWER, takes_prefix=False))
    assert not is_answered
    assert (text, chunks) == ("", [])


def test_a_request_that_is_too_long_is_refused_once() -> None:
    server = ScriptedServer(ANSWER, error="exceed_context_size_error")
    is_answered, _, chunks = ask(server)
    assert is_answered
    assert len(server.bodies) == 1
    assert chunks[0]["error"]["type"] == "exceed_context_size_error"


def test_no_call_follows_when_the_reader_stops() -> None:
    server = ScriptedServer(ANSWER)
    is_answered, _, _ = ask(server, is_stopped=lambda _: True)
    assert is_answered
    assert len(server.bodies) == 1


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


TEXT = {"type": "string", "maxLength": 24}
NUMBER = {"type": "integer", "minimum": 0, "maximum": 999}
SENTENCES = (
    "Anna from Oslo ordered 3 lamps on Monday; she is happy.",
    'Bob said "never again" about the 12 chairs sent to Rome.',
    "No name, no city: 0 items. (empty) /etc - 50 %",
)
EARLIER = " (One lamp.)"
SCHEMAS: dict[str, dict[str, Any]] = {
    "strings": obj(name=TEXT, city=TEXT, item=TEXT),
    "numbers": obj(count=NUMBER, price={"type": "number"}, left=NUMBER),
    "enums": obj(
        mood={"enum": ["very happy", "very sad", "neutral"]}, day={"enum": ["Monday", "none"]}
    ),
    "booleans and null": obj(
        is_order={"type": "boolean"}, name={"type": ["string", "null"], "maxLength": 20}, n=NUMBER
    ),
    "nested": obj(
        person=obj(name=TEXT, home=obj(city=TEXT, is_known={"type": "boolean"})), n=NUMBER
    ),
    "list of strings": obj(words={"type": "array", "items": TEXT, "maxItems": 3}, count=NUMBER),
    "list of objects": obj(
        lines={"type": "array", "items": obj(item=TEXT, count=NUMBER), "maxItems": 2}, city=TEXT
    ),
    "constants and options": obj(kind={"const": "order"}, name=TEXT)
    | {"properties": {"note": TEXT, "kind": {"const": "order"}, "name": TEXT}},
    "one key": obj(verdict={"enum": ["pass", "fail"]}),
    "keys with marks": {
        **obj(
            **{'the "item"': TEXT, "größe, cm:": NUMBER, "a/b": {"anyOf": [TEXT, {"type": "null"}]}}
        )
    },
}


def requests() -> list[ModelRequest]:
    """Return 30 requests, each after an answer that shows the whitespace, inline or indented."""
    result: list[ModelRequest] = []
    for number, schema in enumerate(SCHEMAS.values()):
        for place, sentence in enumerate(SENTENCES):
            user = Message("user", f"Give as JSON {_words(schema)}: {sentence}")
            indent = 2 if (number + place) % 2 else None
            earlier = Message("assistant", json.dumps(_example(schema), indent=indent))
            messages = (replace(user, content=user.content + EARLIER), earlier, user)
            result.append(ModelRequest("embedded", messages, schema=schema, max_tokens=120))
    return result


def _words(schema: dict[str, Any]) -> str:
    """Return the keys of a schema and the values of its choices, as an instruction names them."""
    parts: list[str] = []
    for key, part in schema.get("properties", {}).items():
        choices = part.get("enum") or [value for value in [part.get("const")] if value]
        inner = " or ".join(choices) or _words(part) or _words(part.get("items", {}))
        parts.append(f"{key} ({inner})" if inner else key)
    return ", ".join(parts)


def _example(schema: dict[str, Any]) -> object:
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            return {key: _example(schema["properties"][key]) for key in schema["required"]}
        case "array":
            return [_example(schema["items"])]
        case "string":
            return "lamp"
        case "boolean":
            return True
        case "integer" | "number":
            return 7
        case _:
            return None


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_answers_with_and_without_forced_text_are_the_same() -> None:
    model = EmbeddedModel(EmbeddedSettings(instances=1))
    plain: list[object] = []
    forced: list[object] = []
    for request in requests():
        forced.append(json.loads((await model.complete(request)).text))
        # Logprobs need each token, so nothing is forced.
        plain.append(json.loads((await model.complete(replace(request, top_logprobs=1))).text))
    await model.close()
    assert forced == plain


@pytest.mark.embedded
async def test_the_embedded_model_streams_forced_text_with_the_values() -> None:
    text = "Ada, Friday, 2 people. As JSON with name, day, people."
    messages = Message("user", text), Message("assistant", EXAMPLE), Message("user", text)
    request = ModelRequest("embedded", messages, schema=BOOKING)
    async with Engine(EngineSettings(environment={})) as engine:
        parts = [part async for part in engine.stream(request, asker="test")]
    answer = cast("ModelAnswer", parts[-1])
    text = "".join(part.text for part in parts if isinstance(part, TextDelta))
    assert text == answer.text
    assert isinstance(answer.value, dict)
    assert [*answer.value] == ["name", "day", "people"]
