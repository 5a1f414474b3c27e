"""Base, better prompt, tuned, and tuned with the better prompt, by field, in one comparison.

    python benchmarks/tuning/ticket_table.py FOLDER [--train 48] [--test 60] [--epochs 5]

The tickets of `tickets.py` are answered as JSON with two fields: team, and urgent (yes or no).
The better prompt shows two examples: the pair, of some random ones, that does best on `val`. One
call of `sweep_trainings` trains both, and compares all four on held-out templates.
"""

import argparse
import asyncio
import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

from tickets import LABELS, TEST, TRAIN, tickets

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.evals.service import create_evaluator, run_eval
from kiln_mcp.llm import EngineSettings
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.sweep_service import sweep_trainings
from storage import DatasetSplit, Project, ProjectStore, SplitDefinition, Task, TaskRun

INSTRUCTION = (
    "Sort the customer's message. Answer with JSON: team is billing, shipping, account or defect; "
    "urgent is yes or no."
)
SCHEMA = {
    "type": "object",
    "properties": {
        "team": {"type": "string", "enum": [*LABELS]},
        "urgent": {"type": "string", "enum": ["yes", "no"]},
    },
    "required": ["team", "urgent"],
    "additionalProperties": False,
}
HURRY = ("I need this solved today.", "Please hurry.", "This cannot wait.", "It is very urgent.")
CALM = ("There is no rush.", "Take your time.", "It can wait.", "Next week is fine.")
VALIDATION = 16
CANDIDATES = 4


class Agrees:
    door = Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        return Reply.ACCEPT


def rows(templates: dict[str, tuple[str, ...]], count: int, seed: int) -> list[tuple[str, str]]:
    """Return messages with their answers; train and test say hurry in other words."""
    chance, half = random.Random(seed), 2 if templates is TEST else 0
    made: list[tuple[str, str]] = []
    for number, (text, label) in enumerate(tickets(templates, count // len(LABELS), seed)):
        is_urgent = number % 2 == 0
        words = (HURRY if is_urgent else CALM)[half : half + 2]
        answer = json.dumps({"team": label, "urgent": "yes" if is_urgent else "no"})
        made.append((f"{text} {chance.choice(words)}", answer))
    return made


def shown(examples: list[tuple[str, str]]) -> str:
    parts = [f"Input: {text}\nOutput: {answer}" for text, answer in examples]
    return "\n\n".join([INSTRUCTION, *parts])


async def prepare(place: Path, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Make the project; return the examples that prompts may show."""
    store = await ProjectStore.create(place, Project(name="Tickets"))
    task = Task(name="Sort", instruction=INSTRUCTION, output_json_schema=json.dumps(SCHEMA))
    await store.save(task, parent=store.project)
    await store.close()
    del options
    return rows(TRAIN, 32, seed=9)


async def measure(options: argparse.Namespace) -> dict[str, object]:
    folder: Path = options.folder.absolute()
    engine = EngineSettings(environment=os.environ, tuned_models=folder / "home/tuned_models.json")
    settings = Settings(home=folder / "home", engine=engine)
    started, project = time.perf_counter(), str(folder / "project")
    examples = await prepare(Path(project), options)
    parts = {
        "train": rows(TRAIN, options.train, seed=1),
        "val": rows(TRAIN, VALIDATION, seed=3),
        "test": rows(TEST, options.test, seed=2),
    }
    async with installed_catalogue().open_workspace(settings) as shared:
        workspace = replace(shared, person=Agrees())
        for part, items in parts.items():
            data = [DataItem(input=text, output=answer, tags=[part]) for text, answer in items]
            await add_data(workspace, project, items=data)
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        runs = await store.children(task, TaskRun)
        contents = {"train": tuple(run.id for run in runs if "train" in run.tags)}
        splits = (SplitDefinition(name="train", percentage=1.0),)
        frozen = DatasetSplit(name="Frozen", splits=splits, split_contents=contents)
        await store.save(frozen, parent=task)
        await create_evaluator(
            workspace,
            project,
            "Fields",
            "exact_match",
            reference_key="reference_answer",
            test_filter="tag::test",
            val_filter="tag::val",
        )
        await create_run_config(workspace, project, name="Base", model="embedded")
        names: list[str] = []
        for seed in range(CANDIDATES):
            prompt = shown(random.Random(seed).sample(examples, 2))
            names.append(f"Examples {seed}")
            await create_run_config(
                workspace, project, name=names[-1], model="embedded", prompt=prompt
            )
        await run_eval(workspace, project, "Fields", run_configs=names, part="val")
        choice = await show_results(workspace, project, "Fields", compare=names, part="val")
        print(choice.model_dump_json(indent=1), flush=True)
        means = dict.fromkeys(names, 0.0)
        for row in choice.model_dump()["rows"]:
            means[row["run_config"]] += row["mean"]
        best = max(names, key=lambda name: means[name])
        print(f"best prompt: {best}, {time.perf_counter() - started:.0f} s", flush=True)
        result = await sweep_trainings(
            workspace,
            project,
            "Frozen",
            "Fields",
            ProviderName.LOCAL,
            ["embedded"],
            ["Base", best],
            prompts=["Base", best],
            grid={"epochs": [options.epochs], "niceness": [0], "most_hours": [24]},
            name="Tuned",
            despite_faults=True,
        )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "best": best, **result.model_dump(mode="json")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=48)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    report = asyncio.run(measure(options))
    text = json.dumps(report, indent=1)
    (options.folder / "table.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
