"""The real tool with the embedded model: bookings of the demo, and tickets by field.

    python benchmarks/evolution/embedded.py FOLDER --tasks bookings,tickets --seeds 1,2,3

Start and best prompt are measured on held-out items by the search itself, and once more on fresh
ones. FOLDER keeps the projects, the answers and a line for each search: what is done is not done
again. The embedded model writes no edits, so demonstrations and lines of advice are tried.
"""

import argparse
import asyncio
import importlib
import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.demo import bookings
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.evals.service import create_evaluator, run_eval
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.llm import EngineSettings
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore, Task

sys.path.append(str(Path(__file__).resolve().parents[1] / "tuning"))
ticket_table = importlib.import_module("ticket_table")

SHARES = {"train": 10, "val": 10, "test": 14, "fresh": 14}
"""Forms of words of each part; held-out and fresh messages are in forms that no other part has."""
DRAWS = {"train": 1, "val": 1, "test": 3, "fresh": 3}
"""Draws of names, days, times and numbers of people for each form of a part."""
TICKETS = {"train": 48, "val": 32, "test": 120, "fresh": 120}


class Agrees:
    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


def booking_items(seed: int) -> list[DataItem]:
    """Return bookings of all parts, dealt by their form of words."""
    forms = [f"form {number}" for number in range(1, len(bookings.FORMS) + 1)]
    random.Random(seed).shuffle(forms)
    items: dict[str, DataItem] = {}
    for part, count in SHARES.items():
        own, forms = set(forms[:count]), forms[count:]
        for draw in range(DRAWS[part]):
            for booking in bookings.make_bookings(100 * seed + draw):
                if booking.form in own:
                    item = DataItem.model_validate({**booking.item, "tags": [part]})
                    items.setdefault(booking.message, item)
    return list(items.values())


def ticket_items(seed: int) -> list[DataItem]:
    """Return tickets of all parts; held-out and fresh ones are in words that training lacks."""
    items: dict[str, DataItem] = {}
    for number, (part, count) in enumerate(TICKETS.items()):
        is_held_out = part in {"test", "fresh"}
        templates = ticket_table.TEST if is_held_out else ticket_table.TRAIN
        left = count
        for text, answer in ticket_table.rows(templates, 2 * count, 10 * seed + number):
            if left and text not in items:
                items[text] = DataItem(input=text, output=answer, tags=[part])
                left -= 1
    return list(items.values())


TASKS = {
    "bookings": (booking_items, bookings.INSTRUCTION, bookings.SCHEMA, "Booking is right"),
    "tickets": (ticket_items, ticket_table.INSTRUCTION, ticket_table.SCHEMA, ""),
}


async def prepare(workspace: Workspace, project: str, name: str, seed: int) -> None:
    """Make the project with its items, both evals and the start."""
    make_items, instruction, schema, score = TASKS[name]
    store = await ProjectStore.create(Path(project), Project(name=name))
    task = Task(name="Read", instruction=instruction, output_json_schema=json.dumps(schema))
    await store.save(task, parent=store.project)
    await store.close()
    await add_data(workspace, project, items=make_items(seed))
    for eval_name, test in (("Held out", "test"), ("Fresh", "fresh")):
        await create_evaluator.invoke(
            workspace,
            {
                "project": project,
                "eval": eval_name,
                "type": "exact_match",
                "reference_key": "reference_answer",
                "test_filter": f"tag::{test}",
                "train_filter": "tag::train",
                "val_filter": "tag::val",
                **({"scores": [{"name": score}]} if score else {}),
            },
        )
    await create_run_config(workspace, project, name="start", model="embedded")


async def search(workspace: Workspace, project: str, calls: int, seed: int) -> dict[str, object]:
    """Search, and measure start and best prompt on fresh items."""
    report = await improve_prompt(
        workspace, project, "Held out", "start", max_calls=calls, seed=seed
    )
    rows: list[dict[str, object]] = []
    if report.winner_prompt != report.start_prompt:
        await create_run_config(
            workspace, project, name="best", model="embedded", prompt=report.winner_prompt
        )
        await run_eval(workspace, project, "Fresh", run_configs=["start", "best"])
        table = await show_results(workspace, project, "Fresh", compare=["start", "best"])
        rows = table.model_dump(mode="json")["rows"]
    return {
        "gain_shown": report.gain_shown,
        "verdict": report.verdict,
        "stop": report.stop_reason,
        "demonstrations": report.demonstrations,
        "search_calls": report.search_calls,
        "held_out_calls": report.held_out_calls,
        "held_out": [row.model_dump(mode="json") for row in report.comparison],
        "fresh": rows,
        "winner_prompt": report.winner_prompt,
    }


async def measure(options: argparse.Namespace) -> None:
    folder: Path = options.folder.absolute()
    lines = folder / "results.jsonl"
    settings = Settings(folder / "home", EngineSettings(environment=os.environ))
    for seed in map(int, options.seeds.split(",")):
        for name in options.tasks.split(","):
            if (name, seed) in {(row["task"], row["seed"]) for row in read(lines)}:
                continue
            began, project = time.perf_counter(), folder / f"{name}_{seed}"
            async with installed_catalogue().open_workspace(settings) as shared:
                workspace = replace(shared, person=Agrees())
                if not project.exists():
                    await prepare(workspace, str(project), name, seed)
                row = await search(workspace, str(project), options.calls, seed)
            seconds = round(time.perf_counter() - began)
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"task": name, "seed": seed, "seconds": seconds, **row}))
                file.write("\n")
            print(name, seed, seconds, row["verdict"], flush=True)
    print_table(read(lines))


def read(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def print_table(rows: list[dict]) -> None:
    print("\n| task | seed | score | held out | paired | claimed | fresh | paired | calls | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (row["task"], row["seed"])):
        calls = f"{row['search_calls']} + {row['held_out_calls']} | {row['seconds']}"
        if not row["held_out"]:
            print(f"| {row['task']} | {row['seed']} | - | - | - | no | - | - | {calls} |")
        for own in row["held_out"]:
            key = own["score"]
            fresh = {line["run_config"]: line for line in row["fresh"] if line["score"] == key}
            claimed = "yes" if row["gain_shown"] and (own["low"] or -1) > 0 else "no"
            print(
                f"| {row['task']} | {row['seed']} | {key} | {own['first']:.3f} to "
                f"{own['second']:.3f} (n {own['n']}) | {span(own)} | {claimed} | "
                f"{fresh['start']['mean']:.3f} to {fresh['best']['mean']:.3f} "
                f"(n {fresh['best']['n']}) | {span(fresh['best'])} | {calls} |"
            )


def span(row: dict) -> str:
    if row["low"] is None:
        return "-"
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", default="bookings,tickets")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--calls", type=int, default=200, help="Calls of each search.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
