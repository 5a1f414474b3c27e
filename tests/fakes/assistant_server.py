"""A model on the loopback that plays an assistant, in the formats of four providers.

The next call follows from the results that a request shows, so that a repeated request gets the
same answer. A request without tools gets a sentence; one of the server's own gets what
`answer_as_model` says.
"""

import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from assistant_formats import FORMATS, INDIRECT, Call, Event, Format, Json, Reading
from assistant_script import Step, answer_as_model

OWN_MODEL: Final = "kiln"
"""The name of the model that the server itself asks; all others play the assistant."""
SEARCHES: Final = frozenset({"tool_search", "ToolSearch"})
"""Tools of clients that make others callable: qwen-code, Claude Code."""
WAIT: Final = "WaitForMcpServers"
"""A tool of Claude Code, which offers no tools of a server that is not connected yet."""
LAST_WORDS: Final = "The spec is saved and the eval has results."


@dataclass
class Assistant:
    """Plays a session.

    Attributes:
        steps: The calls.
        requests: Each request with tools: when it came, and the names of its tools.
        results: What the tools answered, as the last request shows it.
        first_text: The whole first request with tools.
    """

    steps: Sequence[Step]
    requests: list[tuple[float, Sequence[str]]] = field(
        default_factory=list[tuple[float, Sequence[str]]]
    )
    results: list[str] = field(default_factory=list[str])
    first_text: str = ""

    def reply(self, reading: Reading, text: str) -> Call | str:
        """Return the next call, or the last words.

        Args:
            reading: What the request shows.
            text: The whole request, in which a client may name tools that it keeps back.
        """
        tools, calls = reading.tools, reading.calls
        if not tools:
            return LAST_WORDS
        self.requests.append((time.monotonic(), tools))
        self.first_text = self.first_text or text
        names = tuple({step.tool for step in self.steps})
        self.results = [result for name, result in calls if name.endswith(names)]
        if len(self.results) >= len(self.steps) or len(calls) > 2 * len(self.steps) + 2:
            return LAST_WORDS
        step = self.steps[len(self.results)]
        name = next((tool for tool in tools if tool.endswith(step.tool)), None)
        if name is not None:
            return Call(f"call_{len(calls)}", name, step.arguments)
        return self._detour(reading, text, step)

    @staticmethod
    def _detour(reading: Reading, text: str, step: Step) -> Call | str:
        """Return the call that leads to a tool that the client keeps back."""
        call_id = f"call_{len(reading.calls)}"
        search = next((name for name in reading.tools if name in SEARCHES), None)
        full_name = re.search(rf"[\w-]*__{step.tool}\b", text)
        if search is not None and full_name is not None:
            last, result = reading.calls[-1] if reading.calls else ("", "")
            if INDIRECT in reading.tools and last == search and full_name[0] in result:
                arguments = {"name": full_name[0], "arguments": step.arguments}
                return Call(call_id, INDIRECT, arguments)
            return Call(call_id, search, {"query": f"select:{full_name[0]}"})
        return Call(call_id, WAIT, {}) if WAIT in reading.tools else LAST_WORDS


def _handler(
    assistant: Assistant, form: Format
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        if body.get("model") == OWN_MODEL:
            form_of_answer: Json = body.get("response_format") or {}
            schema: Json = form_of_answer.get("json_schema") or {}
            reply = answer_as_model(schema.get("schema"))
        else:
            reply = assistant.reply(form.read(body), json.dumps(body))
        if body.get("stream") or "streamGenerateContent" in request.path:
            return await _stream(request, form.events(body, reply))
        return web.json_response(form.answer(body, reply))

    return handle


async def _stream(request: web.Request, events: Sequence[Event]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        head = f"event: {name}\n" if name else ""
        await response.write(f"{head}data: {text}\n\n".encode())
    return response


async def _models(request: web.Request) -> web.StreamResponse:
    models = [{"id": name, "object": "model"} for name in (OWN_MODEL, "scripted")]
    return web.json_response({"object": "list", "data": models})


@asynccontextmanager
async def assistant_server(assistant: Assistant) -> AsyncGenerator[str]:
    """Serve the model; yield its address, without a path."""
    app = web.Application(client_max_size=64_000_000)
    app.router.add_get("/v1/models", _models)
    for path, form in FORMATS.items():
        app.router.add_post(path, _handler(assistant, form))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def own_server(address: str) -> Mapping[str, object]:
    """Return the entry of `servers.json` for the model that the server itself asks."""
    return {
        "name": "local",
        "base_url": f"{address}/v1",
        "input_usd_per_million": 0,
        "output_usd_per_million": 0,
    }
