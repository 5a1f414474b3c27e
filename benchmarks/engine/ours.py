"""Judge calls through the real engine: response cache, limits, budget and retries on.

    python ours.py PORT CALLS CONCURRENCY [lean|litellm]

Prints one JSON line: wall seconds, processor milliseconds a call, peak memory, replay seconds.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from meter import Meter

from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    ModelRequest,
    ServerSettings,
)

SCHEMA = {
    "type": "object",
    "properties": {"score": {"enum": ["pass", "fail"]}},
    "required": ["score"],
    "additionalProperties": False,
}


def requests(count: int, model: str) -> list[ModelRequest]:
    system = Message("system", "Judge whether the answer is polite. " * 10)
    return [
        ModelRequest(
            model,
            (system, Message("user", f"Answer {n}: thank you for your patience.")),
            schema=SCHEMA,
            max_tokens=100,
        )
        for n in range(count)
    ]


async def run(engine: Engine, asked: list[ModelRequest], concurrency: int) -> float:
    budget = await engine.budget(
        f"bench/{time.time_ns()}", BudgetLimit(cost_usd=100.0, tokens=10**9)
    )
    waiting = iter(asked)

    async def worker() -> None:
        for request in waiting:
            answer = await engine.complete(request, asker="judge", budget=budget)
            assert answer.value == {"score": "pass"}

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return time.perf_counter() - started


async def main() -> None:
    port, calls, concurrency = map(int, sys.argv[1:4])
    path = sys.argv[4] if len(sys.argv) > 4 else "lean"
    address = f"http://127.0.0.1:{port}/v1"
    server = ServerSettings(
        "bench",
        address,
        concurrency=concurrency,
        input_usd_per_million=1.0,
        output_usd_per_million=4.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(
            response_cache=Path(folder, "responses.sqlite"),
            servers=(server,),
            environment={"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": address},
            hosted_concurrency=concurrency,
        )
        model = "bench/judge" if path == "lean" else "openai/gpt-4o-mini"
        async with Engine(settings) as engine:
            await run(engine, requests(1, model), 1)  # imports and the first connection
            asked = requests(calls + 1, model)[1:]
            meter = Meter()
            await run(engine, asked, concurrency)
            meter.stop()
            replay = await run(engine, asked, concurrency)
    meter.tell(f"ours, {path}", calls, concurrency, replay_s=round(replay, 3))


if __name__ == "__main__":
    asyncio.run(main())
