"""Extraction with six demonstrations on the embedded model.

python embedded.py [CALLS] [INSTANCES]
"""

import asyncio
import json
import resource
import sys
import time

from kiln_mcp.llm import EmbeddedSettings, Engine, EngineSettings, Message, ModelRequest

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "count": {"type": "integer"},
        "item": {"type": "string", "maxLength": 30},
        "city": {"type": "string", "maxLength": 30},
    },
    "required": ["name", "count", "item", "city"],
}
DEMONSTRATIONS = (
    ("Anna", 3, "lamps", "Oslo"),
    ("Bob", 2, "chairs", "Rome"),
    ("Cleo", 1, "desk", "Paris"),
    ("Dan", 7, "mugs", "Bonn"),
    ("Eve", 9, "pens", "York"),
    ("Finn", 4, "rugs", "Bern"),
)


def request(number: int) -> ModelRequest:
    messages = [Message("system", "Extract the order as JSON.")]
    for name, count, item, city in DEMONSTRATIONS:
        order = {"name": name, "count": count, "item": item, "city": city}
        text = f"Hi, I am {name}, please send {count} {item} to {city}."
        messages += [Message("user", text), Message("assistant", json.dumps(order))]
    messages.append(Message("user", f"This is Hanna; I want {number + 2} spoons in Berlin."))
    return ModelRequest("embedded", tuple(messages), schema=SCHEMA, max_tokens=80)


async def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    instances = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    settings = EngineSettings(embedded=EmbeddedSettings(instances=instances), environment={})
    async with Engine(settings) as engine:
        started = time.perf_counter()
        await engine.complete(request(-1), asker="bench")
        first = time.perf_counter() - started
        started = time.perf_counter()
        answers = await asyncio.gather(
            *(engine.complete(request(n), asker="bench") for n in range(calls))
        )
        wall = time.perf_counter() - started
    figures = {
        "calls": calls,
        "instances": instances or "one a core, two at most",
        "first_s": round(first, 2),
        "calls_a_second": round(calls / wall, 2),
        "read_tokens": sum(a.usage.input_tokens for a in answers),
        "of_them_cached": sum(a.usage.cached_tokens for a in answers),
        "written_tokens": sum(a.usage.output_tokens for a in answers),
        "right": sum(
            a.value == {"name": "Hanna", "count": n + 2, "item": "spoons", "city": "Berlin"}
            for n, a in enumerate(answers)
        ),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(figures))


asyncio.run(main())
