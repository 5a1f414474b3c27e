"""How many different usable inputs the embedded model makes: by our list, and by a plain loop.

Both get the same number of calls and the same examples of the demo's task. The plain loop shows the
same first examples each time and lets the seed alone differ. What either gives is judged alike: an
input is kept if its answer is complete and it says nothing that an earlier one says.

    python benchmarks/synthesis/embedded_inputs.py --count 200
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kiln_mcp.demo.bookings import make_bookings  # noqa: E402
from kiln_mcp.llm import EMBEDDED, Engine, EngineSettings, Message, ModelRequest  # noqa: E402
from kiln_mcp.llm.for_each import for_each  # noqa: E402
from kiln_mcp.synthesis.coverage_plan import Aim, Factors, Quota, plan_slots  # noqa: E402
from kiln_mcp.synthesis.inputs import Brief, ListMaker, Proposal  # noqa: E402
from kiln_mcp.synthesis.quality import Candidate, assess  # noqa: E402

SEED_EXAMPLES = 12
"""Real inputs that are there, as a person would paste them."""


async def ask(engine: Engine, request: ModelRequest) -> str:
    """Return the answer to a request; "" for one that has no end."""
    accept = ("complete", "truncated", "refused", "empty")
    answer = await engine.complete(request, asker="benchmark", accept=accept)
    return answer.text.strip().strip('"') if answer.state == "complete" else ""


async def plain_question(engine: Engine, examples: Sequence[str], count: int) -> list[str]:
    """Ask the same question each time; the seed alone differs."""
    list_text = "\n".join(f"- {text}" for text in examples[:4])
    question = f"Write one message of a guest who books a table, like these:\n{list_text}"
    requests = [
        ModelRequest(
            EMBEDDED, (Message("user", question),), temperature=0.9, max_tokens=64, seed=seed
        )
        for seed in range(count)
    ]
    return [await ask(engine, request) for request in requests]


async def plain_list(engine: Engine, examples: Sequence[str], count: int) -> list[str]:
    """Let the model go on with the same list each time; the seed alone differs."""
    lines = [f"{number}. {text}" for number, text in enumerate(examples[:4], 1)]
    text = "\n".join(["A list of messages, one a line:", *lines, "5."])
    requests = [
        ModelRequest(
            EMBEDDED,
            (Message("raw", text),),
            temperature=0.9,
            max_tokens=64,
            seed=seed,
            stop=("\n",),
        )
        for seed in range(count)
    ]
    return [await ask(engine, request) for request in requests]


async def planned_list(engine: Engine, examples: Sequence[str], count: int) -> list[str]:
    """Let generate_data's maker write for the slots of a plan, without a second round."""
    quotas = [Quota(aim=Aim.ANY, count=count)]
    slots = plan_slots(quotas, Factors({"": 1}), 0)
    brief = Brief("", "", "", tuple(examples), None, 0)
    maker = ListMaker(engine, EMBEDDED, brief)
    proposals: dict[int, Proposal] = {}

    async def propose(place: int) -> None:
        (proposals[place],) = await maker.propose([slots[place]], 0, [])

    await for_each(range(count), propose, engine.width([EMBEDDED]))
    return [proposals[place].text for place in range(count)]


async def report(name: str, texts: Sequence[str], examples: Sequence[str], seconds: float) -> int:
    """Print how many texts are kept, and why the others are not."""
    assessment = await assess([Candidate(text) for text in texts], examples, None, examples)
    kept = assessment.kept_places
    faults = dict(Counter(assessment.fault_counts))
    print(f"{name:28} {len(kept):4} of {len(texts)} kept, {seconds:4.0f} s; {faults}", flush=True)
    for place in kept[:4]:
        print(f"    {texts[place][:90]}")
    return len(kept)


async def run(count: int) -> None:
    """Compare the ways."""
    examples = [booking.message for booking in make_bookings(1)[::3][:SEED_EXAMPLES]]
    async with Engine(EngineSettings(default_model=EMBEDDED)) as engine:
        ways = {
            "the same question": lambda: plain_question(engine, examples, count),
            "the same list": lambda: plain_list(engine, examples, count),
            "a plan's slots": lambda: planned_list(engine, examples, count),
        }
        for name, way in ways.items():
            started = time.perf_counter()
            texts = await way()
            await report(name, texts, examples, time.perf_counter() - started)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    asyncio.run(run(parser.parse_args().count))


if __name__ == "__main__":
    main()
