"""A model's server in a process of its own, which outlives every daemon and counts all requests.

Prints its port. GET /asked?at_least=N answers, once N requests have come, with how often each text
was asked. GET /gate?part=P&limit=N holds the answers to all requests of a part after its N-th; GET
/held?part=P answers, once one is held, with the number of requests of the part. A part is "high"
for numbers from 200 on, and "low" for all else. The argument is a JSON object: the answers to
questions that have a schema, by the schema's first property.
"""

import asyncio
import json
import sys
from collections import Counter
from zlib import crc32

from aiohttp import web

LATENCY_S = 0.02
HIGH = 200


class CountingServer:
    """OpenAI-compatible: equal questions get equal answers."""

    def __init__(self, answers: dict[str, object]) -> None:
        self._answers = answers
        self.asked: Counter[str] = Counter()
        self._more = asyncio.Event()
        self._limits: dict[str, int] = {}
        self._parts: Counter[str] = Counter()

    async def gate(self, request: web.Request) -> web.Response:
        part, limit = request.query["part"], int(request.query["limit"])
        self._limits[part] = limit
        self._wake()
        return web.json_response({})

    async def held(self, request: web.Request) -> web.Response:
        part = request.query["part"]
        while self._parts[part] <= self._limits[part]:
            await self._more.wait()
        return web.json_response(self._parts[part])

    async def _pass(self, part: str) -> None:
        """Wait while the answers of a part are held."""
        self._parts[part] += 1
        number = self._parts[part]
        self._wake()
        while part in self._limits and number > self._limits[part]:
            await self._more.wait()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        messages = body["messages"]
        text = "\n".join(str(message["content"]) for message in messages)
        sample = body.get("seed", "")  # the same text is another question for another sample
        self.asked[f"{crc32(text.encode())} {sample} {messages[-1]['content'][-60:]}"] += 1
        last = messages[-1]["content"]
        await self._pass("high" if last.isdigit() and int(last) >= HIGH else "low")
        await asyncio.sleep(LATENCY_S)
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        name = next((key for key in schema.get("properties", {}) if key in self._answers), None)
        text = _answer(messages) if name is None else json.dumps(self._answers[name])
        message = {"role": "assistant", "content": text}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def count(self, request: web.Request) -> web.Response:
        at_least = int(request.query.get("at_least", "0"))
        while self.asked.total() < at_least:
            await self._more.wait()
        return web.json_response(self.asked)


def _answer(messages: list[dict[str, str]]) -> str:
    """Double the last number once a demonstration is shown; else answer with the text."""
    last = messages[-1]["content"]
    if not last.isdigit():
        return f"answer to {last}"
    return json.dumps(int(last) * (2 if len(messages) >= 4 else 1))


async def main() -> None:
    server = CountingServer(json.loads(sys.argv[1]))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/asked", server.count)
    app.router.add_get("/gate", server.gate)
    app.router.add_get("/held", server.held)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
