"""A program that serves a scripted model over loopback: `python -m scripted_chat_server SCRIPT`.

SCRIPT is a JSON file with one step for each request: a text, or a list of calls as
`[name, arguments]`. The last step is repeated. Each text is streamed in pieces of `piece`
characters. The first line of standard output is the address.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

PIECE = 12


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return b"data: " + json.dumps({**data, "choices": [choice]}).encode() + b"\n\n"


def pieces(step: Any) -> list[bytes]:
    """Return a step as the lines of a stream."""
    if isinstance(step, str):
        parts = [step[place : place + PIECE] for place in range(0, len(step), PIECE)]
        return [*(chunk({"content": part}) for part in parts), chunk({}, "stop")]
    calls = [
        {
            "index": number,
            "id": f"c{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(step)
    ]
    return [chunk({"tool_calls": calls}), chunk({}, "tool_calls")]


async def serve(script: list[Any], pause_s: float) -> None:
    steps = iter(script)
    last: list[Any] = [script[-1]]

    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        # What checks whether the server answers is no part of the script.
        step = next(steps, last[0]) if body.get("tools") else "ok"
        for part in pieces(step):
            await response.write(part)
            await asyncio.sleep(pause_s)
        usage = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}
        end = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        await response.write(
            b"data: " + json.dumps({**end, "choices": [], "usage": usage}).encode() + b"\n\n"
        )
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}/v1\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    script = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(serve(script, float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
