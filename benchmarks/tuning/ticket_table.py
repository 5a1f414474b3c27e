"""Base, better prompt, tuned, and tuned with the better prompt, by field, in one comparison.

    python benchmarks/tuning/ticket_table.py FOLDER [--train 48] [--test 60] [--epochs 5]

The tickets of `tickets.py` are answered as JSON with two fields: team, and urgent (yes or no).
The better prompt shows two examples: the pair, of some random ones, that does best on `val`. One
model learns the tickets with the plain prompt, and one with the better prompt. The first also runs
with the better prompt. FOLDER keeps what was done.
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
from kiln_mcp.llm.providers.tuned_files import read_tuned_models
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.service import train_model
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    DatasetSplit,
    Project,
    ProjectStore,
    SplitDefinition,
    Task,
    TaskRun,
    TaskRunConfig,
)

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
LEARNT_WITH_EXAMPLES = "Tuned with examples"
EXAMPLES_ADDED = "Tuned, examples added later"


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


async def prepare(workspace: Workspace, project: str, options: argparse.Namespace) -> None:
    """Make the project with its items, its frozen split, its eval and its prompts."""
    store = await ProjectStore.create(Path(project), Project(name="Tickets"))
    task = Task(name="Sort", instruction=INSTRUCTION, output_json_schema=json.dumps(SCHEMA))
    task = await store.save(task, parent=store.project)
    await store.close()
    parts = {
        "train": rows(TRAIN, options.train, seed=1),
        "val": rows(TRAIN, VALIDATION, seed=3),
        "test": rows(TEST, options.test, seed=2),
    }
    for part, items in parts.items():
        data = [DataItem(input=text, output=answer, tags=[part]) for text, answer in items]
        await add_data(workspace, project, items=data)
    store = await workspace.open_project(project)
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
    for name, prompt in prompts().items():
        await create_run_config(workspace, project, name=name, model="embedded", prompt=prompt)


def prompts() -> dict[str, str]:
    """Return prompts that show two examples each."""
    examples = rows(TRAIN, 32, seed=9)
    return {
        f"Examples {seed}": shown(random.Random(seed).sample(examples, 2))
        for seed in range(CANDIDATES)
    }


async def best_prompt(workspace: Workspace, project: str) -> str:
    """Return the run config whose prompt does best on val."""
    names = list(prompts())
    await run_eval(workspace, project, "Fields", run_configs=names, part="val")
    choice = await show_results(workspace, project, "Fields", compare=names, part="val")
    means = dict.fromkeys(names, 0.0)
    for row in choice.model_dump()["rows"]:
        means[row["run_config"]] += row["mean"]
    return max(names, key=lambda name: means[name])


async def run_config_names(workspace: Workspace, project: str) -> set[str]:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    return {config.name for config in await store.children(task, TaskRunConfig)}


async def train_once(
    workspace: Workspace, project: str, name: str, prompt: str | None, epochs: int
) -> None:
    """Train on a prompt, unless that was done before."""
    if name not in await run_config_names(workspace, project):
        parameters = {"epochs": epochs, "niceness": 0}
        await train_model(
            workspace,
            project,
            "Frozen",
            ProviderName.LOCAL,
            "embedded",
            name=name,
            run_config=prompt,
            parameters=parameters,
        )


async def measure(options: argparse.Namespace) -> dict[str, object]:
    folder: Path = options.folder.absolute()
    engine = EngineSettings(environment=os.environ, tuned_models=folder / "home/tuned_models.json")
    started, project = time.perf_counter(), str(folder / "project")
    async with installed_catalogue().open_workspace(Settings(folder / "home", engine)) as shared:
        workspace = replace(shared, person=Agrees())
        if not Path(project).exists():  # noqa: ASYNC240 - a benchmark
            await prepare(workspace, project, options)
        best = await best_prompt(workspace, project)
        print(f"best prompt: {best}, {time.perf_counter() - started:.0f} s", flush=True)
        for name, prompt in (("Tuned", None), (LEARNT_WITH_EXAMPLES, best)):
            await train_once(workspace, project, name, prompt, options.epochs)
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        if EXAMPLES_ADDED not in await run_config_names(workspace, project):
            models = read_tuned_models(folder / "home/tuned_models.json")
            await create_run_config(
                workspace,
                project,
                name=EXAMPLES_ADDED,
                model=next(iter(models)),
                prompt=prompts()[best],
            )
        names = ["Base", best, "Tuned", LEARNT_WITH_EXAMPLES, EXAMPLES_ADDED]
        await run_eval(workspace, project, "Fields", run_configs=names)
        table = await show_results(workspace, project, "Fields", compare=names)
    return {"seconds": time.perf_counter() - started, "best": best, **table.model_dump(mode="json")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=48)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    report = asyncio.run(measure(options))
    text = json.dumps(report, indent=1)
    (options.folder / "table.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
