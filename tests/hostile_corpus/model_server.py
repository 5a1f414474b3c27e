"""A server on the loopback whose models answer as the corpus says."""

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from pydantic import JsonValue

from tests.hostile_corpus.inputs import JsonObject

CHUNK: Final = bytes(1_000_000)


class HostileModels:
    """OpenAI-compatible: each model has one answer; the model "echo" repeats what it was told."""

    def __init__(self, answers: Mapping[str, JsonObject]) -> None:
        self.answers = answers

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = json.loads(await request.read())
        last = body["messages"][-1]["content"]
        answer = self.answers.get(body["model"], {"content": last})
        match answer:
            case {"endless_bytes": int(size)}:
                return await self._stream(request, size)
            case {"packed_bytes": int(size)}:
                packed = await asyncio.to_thread(_packed, size)
                head = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
                return web.Response(body=packed, headers=head)
            case {"body": str(text)}:
                headers: Any = answer.get("headers")
                status = answer.get("status", 200)
                assert isinstance(status, int)
                return web.Response(
                    text=text, status=status, headers=headers, content_type="application/json"
                )
            case _:
                return web.json_response(_completion(answer))

    async def _stream(self, request: web.Request, size: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(size // len(CHUNK)):
            try:
                await response.write(CHUNK)
            except (ConnectionError, RuntimeError):  # the daemon has heard enough
                break
        return response


def _packed(size: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(CHUNK) for _ in range(size // len(CHUNK))]
    return b"".join([*parts, packer.flush()])


def _completion(answer: JsonObject) -> JsonObject:
    spoken: JsonValue = {"role": "assistant", "content": answer.get("content")}
    choice: JsonObject = {
        "index": 0,
        "finish_reason": answer.get("finish_reason", "stop"),
        "message": answer.get("message", spoken),
    }
    usage: JsonObject = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": answer.get("usage", usage),
    }


@asynccontextmanager
async def hostile_models(answers: Mapping[str, JsonObject]) -> AsyncGenerator[str]:
    """Serve the models; the address ends in /v1."""
    app = web.Application(client_max_size=64_000_000)
    app.router.add_post("/v1/chat/completions", HostileModels(answers).chat)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
