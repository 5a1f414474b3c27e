"""An OpenAI-compatible server on the loopback with all misbehaving models."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from chat_server import serve_chat
from misbehaving_models import MODELS, Misbehaviour

BY_NAME = {model.name: model for model in MODELS}
HEAD = {"id": "1", "created": 0, "model": "m"}


def whole(model: Misbehaviour) -> dict[str, Any]:
    message = {"role": "assistant", **model.message}
    choice = {"index": 0, "finish_reason": model.finish, "message": message}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": model.usage}


def events(model: Misbehaviour) -> Iterator[str]:
    """Yield the data of a stream's events; texts are cut into pieces of five characters."""
    chunk = {**HEAD, "object": "chat.completion.chunk"}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        return json.dumps(
            chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        )

    yield event({"role": "assistant", "content": ""})
    for name, value in reversed(list(model.message.items())):
        if not isinstance(value, str):
            if value is not None:
                yield event({name: value})
            continue
        for start in range(0, len(value), 5):
            yield event({name: value[start : start + 5]})
    if model.ending in {"early", "torn"}:
        return
    if model.ending != "done-only":
        yield event({}, model.finish)
    if model.usage:
        yield json.dumps(chunk | {"choices": [], "usage": model.usage})
    if model.ending != "no-done":
        yield "[DONE]"


@dataclass
class Zoo:
    """The server of all misbehaving models.

    Attributes:
        address: Up to and including `/v1`.
        bodies: The JSON bodies of all requests.
    """

    address: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        model = BY_NAME[body["model"]]
        for refusal in model.refusals:
            if refusal.condition(body):
                return web.Response(
                    status=refusal.status, text=refusal.text, content_type="application/json"
                )
        if not body.get("stream"):
            return web.json_response(whole(model))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        for event in events(model):
            await stream.write(f"data: {event}\n\n".encode(errors="backslashreplace"))
        if model.ending == "torn":
            await stream.write(b'data: {"choices": [{"index": 0, "del')
        return stream


@asynccontextmanager
async def open_zoo() -> AsyncGenerator[Zoo]:
    """Serve all misbehaving models on the loopback."""
    server = Zoo()
    async with serve_chat(server.chat) as server.address:
        yield server
