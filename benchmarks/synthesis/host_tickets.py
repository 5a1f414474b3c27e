"""Let the connected assistant make 200 tickets with verified classes: its calls and tokens.

The assistant is a script with rules. It writes a ticket for each line of a plan, and reads the
class of each ticket later by other rules, without the plan. Counted are the calls of tools, and the
tokens (cl100k) of arguments and answers. A sample of 50 is compared with the rule of its writing.

    python benchmarks/synthesis/host_tickets.py
"""

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fakes"))
from work_orders import Order, orders_in  # noqa: E402

BRIDGE = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
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


def token_count(text: str) -> int:
    """Return the tokens of a text; the vocabulary comes with litellm."""
    import tiktoken

    return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))


class Session:
    """A client that counts what it sends and reads."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls: Counter[str] = Counter()
        self.tokens = 0

    async def call(self, tool: str, **arguments: object) -> Mapping[str, Any]:
        """Call a tool; end with its sentence if it fails."""
        answer = await self.client.call_tool(tool, dict(arguments))
        text = "".join(getattr(block, "text", "") for block in answer.content)
        if answer.is_error:
            raise SystemExit(f"{tool}: {text}")
        self.calls[tool] += 1
        content = json.dumps(answer.structured_content, ensure_ascii=False)
        self.tokens += token_count(json.dumps(arguments)) + token_count(content)
        return answer.structured_content or {}


def runs_in(folder: Path) -> list[Mapping[str, Any]]:
    """Return the runs of a project, as they are stored."""
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("task_run.kiln"))]


async def run(folder: Path, count: int) -> None:
    """Make the tickets, and print what it took and how many classes are right."""
    environment = {**os.environ, "KILN_MCP_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    server = StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment)
    schema = {
        "type": "object",
        "properties": {"category": {"type": "string", "enum": list(WORDS)}},
        "required": ["category"],
        "additionalProperties": False,
    }
    project = str(folder / "desk")
    async with Client(server) as client:
        setup, session = Session(client), Session(client)
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
    print(f"tokens {session.tokens}, {session.tokens / items:.0f} an item; {seconds:.1f} s")
    print(f"right in a sample of {len(sample)}: {right}")


def main() -> None:
    """Read the arguments and run the session in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    import litellm

    vocabulary = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(vocabulary))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), arguments.count))


if __name__ == "__main__":
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    main()
