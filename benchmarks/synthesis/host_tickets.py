"""Let the connected assistant make 200 tickets with verified classes: its calls and tokens.

The assistant is a script with rules. It writes a ticket for each line of a plan, and reads the
class of each ticket later by other rules, without the plan. Counted are the calls of tools, and the
tokens (cl100k) of arguments and answers. A sample of 50 is compared with the rule of its writing.

    python benchmarks/synthesis/host_tickets.py
"""

import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp import Client

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]
from benchmarks.clients.counted_session import (  # noqa: E402
    CountedSession,
    run_in_folder,
    server_in,
)
from work_orders import Order, orders_in  # noqa: E402

SLOT = re.compile(r"(?:^|<slots>)(\d+)\. .*?right answer: (\w+)", re.MULTILINE)
WORDS = {
    "billing": ("charged twice", "invoice", "refund", "card declined", "wrong amount"),
    "delivery": ("parcel", "courier", "tracking", "never arrived", "wrong address"),
    "account": ("password", "log in", "two-step code", "e-mail changed", "locked out"),
    "defect": ("broken", "stopped working", "cracked", "makes a noise", "will not start"),
}


def in_list(text: str) -> list[str]:
    """Return the parts of a text between strokes."""
    return [part.strip() for part in text.split("|")]


THINGS = in_list("""
    kettle| running shoes| desk lamp| tent| headphones| blender| printer| bicycle|
    coffee grinder| garden hose| keyboard| suitcase| watch| mattress| drill| pram
""")
OPENINGS = in_list("""
    Hello there,| Good morning.| Hi team,| To whom it may concern:| Hey!| Please help.|
    I am rather cross.| Quick question:| Third time I write:| Dear support,| Sorry to ask,
""")
PLACES = in_list("""
    in Leeds| near Oslo| on the train| at my mother's| in our office| in Porto| on holiday|
    at the shop| in the village| abroad| at the harbour| in Graz
""")
ENDINGS = in_list("""
    What now?| I need this by Friday.| Can someone ring me?| Thanks in advance.| Cheers|
    My daughter waits for it.| This is urgent.| No rush at all.| I will not pay for this.
""")
VERBS = in_list("""
    noticed| found out| was told| realised| saw| read| heard| discovered| complained|
    wrote down| checked| remembered
""")


COUNTER = Counter[str]()


def ticket(slot: int, label: str) -> str:
    """Return a ticket of a class; each call for one slot gives another one."""
    COUNTER[f"{slot} {label}"] += 1
    chooser = random.Random(f"ticket {slot} {label} {COUNTER[f'{slot} {label}']}")
    pick = chooser.choice
    number = chooser.randrange(10_000, 99_999)
    facts = [
        f"{pick(PLACES)} {pick(VERBS)}",
        f"{pick(WORDS[label])}",
        f"{pick(THINGS)} {number}",
        f"{chooser.randrange(5, 400)} euros",
        f"{pick(THINGS)}, {pick(THINGS)}",
    ]
    chooser.shuffle(facts)
    return f"{pick(OPENINGS)} {'; '.join(facts)}. {pick(ENDINGS)}"


def class_of(text: str) -> str:
    """Return the class that the words of a ticket show."""
    counts = {label: sum(word in text for word in words) for label, words in WORDS.items()}
    return max(counts, key=lambda label: counts[label])


def reply(order: Order) -> str:
    """Return the answer to an order: tickets for the lines of a plan, or a ticket's class."""
    if order.schema and "inputs" in order.schema.get("properties", {}):
        slots = SLOT.findall(order.text)
        inputs = [{"slot": int(slot), "input": ticket(int(slot), label)} for slot, label in slots]
        return json.dumps({"inputs": inputs})
    return json.dumps({"category": class_of(order.text)})


def runs_in(folder: Path) -> list[Mapping[str, Any]]:
    """Return the runs of a project, as they are stored."""
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("task_run.kiln"))]


async def run(folder: Path, count: int) -> None:
    """Make the tickets, and print what it took and how many classes are right."""
    schema = {
        "type": "object",
        "properties": {"category": {"type": "string", "enum": list(WORDS)}},
        "required": ["category"],
        "additionalProperties": False,
    }
    project = str(folder / "desk")
    async with Client(server_in(folder)) as client:
        setup, session = CountedSession(client), CountedSession(client)
        await setup.call("create_project", name="Desk", folder=project)
        await setup.call(
            "create_project",
            project=project,
            task="Sort",
            instruction="Sort support tickets into a category.",
            output_schema=schema,
        )
        started = time.perf_counter()
        plan = await session.call(
            "generate_data",
            project=project,
            count=count,
            topics=["first order", "regular customer", "business customer", "returns"],
            model="host",
            plan={"outputs": "reference", "personas": ["in a hurry", "polite", "angry"]},
        )
        answer = await session.call("generate_data", project=project, plan=plan["id"])
        while orders := orders_in(answer):
            replies = [{"id": order.id, "answer": reply(order)} for order in orders]
            answer = await session.call("answer_work_orders", answers=replies)
        seconds = time.perf_counter() - started
        (job,) = answer["jobs"]
        if job["state"] != "done":
            raise SystemExit(f"The job is {job['state']}: {job.get('error')}")
    result = job["result"]
    runs = runs_in(Path(project))
    classes = Counter(json.loads(run["output"]["output"])["category"] for run in runs)
    sample = random.Random(0).sample(runs, min(50, len(runs)))
    right = sum(
        any(word in run["input"] for word in WORDS[json.loads(run["output"]["output"])["category"]])
        for run in sample
    )
    items = result["items"]
    print(f"planned {count}: {plan['calls']} orders, {plan['spare_calls']} spare ones")
    print(
        f"items {items}, verified {result['verified_items']}, for a person {result['for_a_person']}"
    )
    print(f"inputs dropped {result['rejected_inputs']}: {result['reject_reasons']}")
    print(f"classes {dict(classes)}")
    print(f"calls {session.calls.total()}: {dict(session.calls)}")
    tokens = session.tokens.total()
    print(f"tokens {tokens}, {tokens / items:.0f} an item; {seconds:.1f} s")
    print(f"right in a sample of {len(sample)}: {right}")


if __name__ == "__main__":
    run_in_folder(run, __doc__, 200)
