"""A whole session in which the connected assistant is its own model: calls and tokens.

The assistant is a script that answers every order by its schema. It drafts a spec, makes inputs,
answers them as the task, and judges the answers, all as the model `host`. Counted are the calls of
tools and the tokens (cl100k) of their answers and of its own arguments.

    python benchmarks/clients/host_session.py
"""

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mcp import Client

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "fakes"), str(Path(__file__).parent)]
from counted_session import CountedSession, run_in_folder, server_in  # noqa: E402

from assistant_script import ANSWERS  # noqa: E402
from work_orders import Order, orders_in  # noqa: E402

SLOT = re.compile(r"(?:^|<slots>)(\d+)\. ", re.MULTILINE)


def value_for(schema: Mapping[str, Any], order: Order, path: str = "") -> object:
    """Return a value that fits a schema, as a diligent assistant might write it."""
    own_answer = next(
        (ANSWERS[name] for name in ANSWERS if name in schema.get("properties", {})), None
    )
    if own_answer is not None:
        return own_answer
    if "inputs" in schema.get("properties", {}):
        return {"inputs": [input_for(order, slot) for slot in SLOT.findall(order.text)]}
    if "enum" in schema:
        return verdict_of(schema["enum"], order)
    kind: str | None = schema.get("type")
    if "anyOf" in schema:
        return value_for(schema["anyOf"][0], order, path)
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: value_for(field, order, name) for name, field in fields.items()}
    if kind == "array":
        count = max(schema.get("minItems", 1), min(4, schema.get("maxItems", 4)))
        return [value_for(schema.get("items", {}), order, f"{path} {n}") for n in range(count)]
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    key = abs(hash((order.id, path))) % 10**9
    text = f"Where is my parcel number {key}? It is {key % 97} days late, and I want {path} back."
    return text[: schema.get("maxLength", 200)]


def input_for(order: Order, slot: str) -> Mapping[str, object]:
    """Return an input for a line of a plan, which no other one is like."""
    digest = sha256(f"{order.id} {slot}".encode()).hexdigest()
    words = " ".join(digest[start : start + 7] for start in range(0, 56, 7))
    return {"slot": int(slot), "input": words}


def verdict_of(values: Sequence[object], order: Order) -> object:
    """Return a judge's verdict: it fails what promises a refund, and abstains from nothing."""
    if {"pass", "fail"} <= set(values):
        answer = order.text.partition("<model_response>")[2].partition("</model_response>")[0]
        return "fail" if "refund" in answer.casefold() else "pass"
    return values[0]


class HostSession(CountedSession):
    """A counted session whose client answers the orders of its calls as the model."""

    async def as_host(self, tool: str, **arguments: object) -> Mapping[str, Any]:
        """Call a tool and answer its orders as the model, until its result is there."""
        answer = await self.call(tool, **arguments)
        while orders := orders_in(answer):
            replies = [
                {
                    "id": order.id,
                    "answer": json.dumps(value_for(order.schema, order))
                    if order.schema
                    else f"Dear customer, parcel {order.id} is on its way.",
                }
                for order in orders
            ]
            answer = await self.call("answer_work_orders", answers=replies)
            for problem in answer.get("problems", []):
                print(problem, file=sys.stderr)
        for job in answer.get("jobs", []):
            if job["state"] == "done":
                return job.get("result", {})
            raise SystemExit(f"{tool}: the job is {job['state']}: {job.get('error')}")
        return answer


async def run(folder: Path, count: int) -> None:
    """Go from a wish to the score table, and print what it took."""
    started = time.perf_counter()
    async with Client(server_in(folder)) as client:
        session = HostSession(client)
        project = str(folder / "support")
        await session.call("create_project", name="Support", folder=project)
        await session.call(
            "create_project",
            project=project,
            task="Reply",
            instruction="Answer customers politely.",
        )
        await session.as_host(
            "build_spec",
            project=project,
            wish="It never promises a refund that the policy does not allow.",
            model="host",
            save=True,
        )
        await session.call("create_run_config", project=project, name="As host", model="host")
        generated = await session.as_host(
            "generate_data", project=project, count=count, model="host"
        )
        await session.call("split_data", project=project, name="refunds")
        steps = ["Is a refund promised?", "Does the policy allow it?"]
        await session.call(
            "create_evaluator",
            project=project,
            eval="refunds",
            type="llm_judge",
            steps=steps,
            model="host",
        )
        measured = await session.as_host("run_eval", project=project, eval="refunds", outputs="all")
        await session.call("show_results", project=project, eval="refunds")
    seconds = time.perf_counter() - started
    print(f"{count} inputs asked for ({generated['items']} made), {seconds:.1f} s in all")
    print(f"{'tool':24}{'calls':>7}{'tokens':>9}")
    for tool, calls in session.calls.most_common():
        print(f"{tool:24}{calls:7}{session.tokens[tool]:9}")
    print(f"{'all':24}{session.calls.total():7}{session.tokens.total():9}")
    print(json.dumps(measured)[:300])


if __name__ == "__main__":
    run_in_folder(run, __doc__, 40)
