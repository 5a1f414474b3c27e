"""How many different usable inputs the embedded model makes: by our list, and by a plain loop.

Both get the same number of calls and the same examples of the demo's task. The plain loop shows the
same first examples each time and lets the seed alone differ. What either gives is judged alike: an
input is kept if its answer is complete and it says nothing that an earlier one says. Of those, the
bookings are counted by rule: they name a weekday, a time, and how many come.

    python benchmarks/synthesis/embedded_inputs.py --count 200 [--way plan]
"""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kiln_mcp.demo.bookings import DAYS, WORDS, make_bookings  # noqa: E402
from kiln_mcp.llm import EMBEDDED, Engine, EngineSettings, Message, ModelRequest  # noqa: E402
from kiln_mcp.synthesis.coverage_plan import Aim, Factors, Quota, Slot, plan_slots  # noqa: E402
from kiln_mcp.synthesis.inputs import Brief, Proposal  # noqa: E402
from kiln_mcp.synthesis.list_inputs import ListMaker, detail_fault  # noqa: E402
from kiln_mcp.synthesis.quality import Candidate, assess  # noqa: E402

SEED_EXAMPLES = 12
"""Real inputs that are there, as a person would paste them."""
DAY = re.compile("|".join(DAYS), re.IGNORECASE)
TIME = re.compile(r"\b\d{1,2}[:.]\d\d\b")
PEOPLE = re.compile(rf"(?<![:.\d])\b(?:\d{{1,2}}|{'|'.join(WORDS)})\b(?![:.]\d)", re.IGNORECASE)


async def ask(engine: Engine, request: ModelRequest) -> str:
    """Return the answer to a request; "" for one that has no end."""
    accept = ("complete", "truncated", "refused", "empty")
    answer = await engine.complete(request, asker="benchmark", accept=accept)
    return answer.text.strip().strip('"') if answer.state == "complete" else ""


async def plain_question(engine: Engine, examples: Sequence[str], count: int) -> AsyncIterator[str]:
    """Ask the same question each time; the seed alone differs."""
    list_text = "\n".join(f"- {text}" for text in examples[:4])
    question = f"Write one message of a guest who books a table, like these:\n{list_text}"
    requests = [
        ModelRequest(
            EMBEDDED, (Message("user", question),), temperature=0.9, max_tokens=64, seed=seed
        )
        for seed in range(count)
    ]
    for request in requests:
        yield await ask(engine, request)


async def plain_list(engine: Engine, examples: Sequence[str], count: int) -> AsyncIterator[str]:
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
    for request in requests:
        yield await ask(engine, request)


async def planned_list(engine: Engine, examples: Sequence[str], count: int) -> AsyncIterator[str]:
    """Let generate_data's maker write for the slots of a plan, without a second round."""
    quotas = [Quota(aim=Aim.ANY, count=count)]
    slots = plan_slots(quotas, Factors({"": 1}), 0)
    brief = Brief("", "", "", tuple(examples), None, 0)
    maker = ListMaker(engine, EMBEDDED, brief)
    for slot in slots:
        (proposal,) = await maker.propose([slot], 0, [])
        yield proposal.text


def is_booking(text: str) -> bool:
    """Return whether a text names a weekday, a time, and how many come."""
    return all(pattern.search(text) for pattern in (DAY, TIME, PEOPLE))


async def report(name: str, texts: Sequence[str], examples: Sequence[str], seconds: float) -> None:
    """Print how many texts are kept, and why the others are not."""
    assessment = await assess([Candidate(text) for text in texts], examples, None, examples)
    slot, lacks_of = Slot(1, "", "", Aim.ANY), detail_fault(examples)
    lacks = {place: lacks_of(Proposal(slot, texts[place])) for place in assessment.kept_places}
    kept = [texts[place] for place, lack in lacks.items() if not lack]
    faults = {**assessment.fault_counts, **Counter(lack for lack in lacks.values() if lack)}
    print(
        f"{name:9} {len(kept):4} of {len(texts)} kept, {sum(map(is_booking, kept))} of them "
        f"bookings, {seconds:5.0f} s, {time.process_time():5.0f} s of CPU; {faults}",
        flush=True,
    )


async def run(count: int, names: Sequence[str]) -> None:
    """Compare the ways, with a line for each 20 calls."""
    examples = [booking.message for booking in make_bookings(1)[::3][:SEED_EXAMPLES]]
    ways = {"question": plain_question, "list": plain_list, "plan": planned_list}
    async with Engine(EngineSettings(default_model=EMBEDDED)) as engine:
        for name in names:
            started, texts = time.perf_counter(), list[str]()
            async for text in ways[name](engine, examples, count):
                texts.append(text)
                if len(texts) % 20 == 0 or len(texts) == count:
                    await report(name, texts, examples, time.perf_counter() - started)
            print(*(f"    {is_booking(text)!s:5} {text[:100]}" for text in texts[:40]), sep="\n")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--way", choices=("question", "list", "plan"), action="append")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.count, arguments.way or ("question", "list", "plan")))


if __name__ == "__main__":
    main()
