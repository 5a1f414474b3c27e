"""How often the real tool shows a true gain of 20 points, and how often a false one.

python benchmarks/evolution/power_at_the_door.py [--runs 200] [--sizes 60,120,240] [--null]
python benchmarks/evolution/power_at_the_door.py --claims 2000 [--sizes 60] [--seconds 600]

Each search is a line of `--out`; searches that have one are not run again.

The capability runs in this process on a new project each time, with scripted models: the feature
of `power.py` as an answer that is right or wrong, and a model that proposes rule, harm or filler.
`--claims` makes the claim alone, on two sides of the same coins.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from power import BASE, FILLERS, HARM, KIND_SHARE, LIFT, RULE, START, share

from kiln_mcp.evals.service import create_evaluator
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.engine.claim import MOST_REPEATS
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.llm import Engine, EngineSettings, ModelAnswer, ModelRequest
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.settings import Settings
from kiln_mcp.statistics import differences_from, level_of_use, score_columns
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun


class Feature:
    """Answers an item rightly by a coin that depends on prompt, item and sample alone."""

    def __init__(self, seed: int, lift: float) -> None:
        self.seed, self.lift = seed, lift

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        prompt, item = request.messages[0].content, request.messages[-1].content
        is_kind = random.Random(f"{self.seed} {item}").random() < KIND_SHARE
        rate = BASE + self.lift * (is_kind and RULE in prompt) - 0.2 * (HARM in prompt)
        coin = random.Random(f"{self.seed} {prompt} {item} {request.sample}").random()
        return ModelAnswer("yes" if coin < rate else "no")


class Editor:
    """Proposes the rule in two of five answers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        draw = random.Random(f"{self.seed} {request.sample}")
        chance = draw.random()
        line = RULE if chance < 0.4 else HARM if chance > 0.85 else draw.choice(FILLERS)
        edit = {"operation": "add", "block": "b1", "text": f"- Always {line}.", "reason": "wrong"}
        text = json.dumps({"failure": "wrong", "edits": [edit]})
        return ModelAnswer(text)


async def make_project(folder: Path, size: int) -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with await ProjectStore.create(folder, Project(name="Power")) as store:
        task = await store.save(Task(name="Answer", instruction=START), parent=store.project)
        async with store.transaction() as change:
            for part, count in (("train", 60), ("val", 40), ("test", size)):
                for number in range(count):
                    output = TaskOutput(output="yes", source=person)
                    run = TaskRun(
                        input=f"{part} {number}", input_source=person, output=output, tags=(part,)
                    )
                    change.save(run, parent=task)


async def search(seed: int, lift: float, size: int, calls: int) -> EvolutionReport:
    with tempfile.TemporaryDirectory(dir=memory()) as place:
        folder = Path(place)
        await make_project(folder / "project", size)
        settings = Settings(home=folder / "home", engine=EngineSettings(default_model="embedded"))
        models = {"feature": Feature(seed, lift), "editor": Editor(seed)}
        async with Engine(settings.engine, models=models) as engine:
            known = KnownProjects(settings.home / "projects.json")
            workspace = Workspace(settings=settings, engine=engine, projects=known)
            project = {"project": str(folder / "project")}
            evaluator = {
                "eval": "Right",
                "type": "exact_match",
                "reference_key": "reference_answer",
            }
            filters = {f"{part}_filter": f"tag::{part}" for part in ("train", "val", "test")}
            await create_evaluator.invoke(workspace, {**project, **evaluator, **filters})
            start = {"name": "start", "model": "feature", "prompt": START}
            await create_run_config.invoke(workspace, {**project, **start})
            call = {"eval": "Right", "start": "start", "max_calls": calls, "seed": seed}
            report = await improve_prompt.invoke(
                workspace, {**project, **call, "reflect_with": "editor"}
            )
            await known.close()
    assert isinstance(report, EvolutionReport)
    return report


def memory() -> str | None:
    """Return a folder in memory, if there is one: the store waits for the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True)
class Setting:
    """What is run.

    Attributes:
        null: Whether the rule brings nothing.
        size: Held-out items.
        calls: Calls of each search.
    """

    null: bool
    size: int
    calls: int


def run_searches(setting: Setting, runs: int, out: Path, end: float) -> None:
    """Append a line for each search that is not there yet, while there is time."""
    done = {row["seed"] for row in read(out) if is_of(row, setting)}
    for seed in range(runs):
        if seed in done:
            continue
        if time.monotonic() >= end:
            return
        lift = 0.0 if setting.null else LIFT
        report = asyncio.run(search(seed, lift, setting.size, setting.calls))
        row = {
            **asdict(setting),
            "seed": seed,
            "claimed": report.gain_shown,
            "found": RULE in report.winner_prompt,
            "held_out_runs": report.held_out_runs,
        }
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def is_claimed(seed: int, size: int) -> bool:
    """Return whether a gain is claimed of two sides whose runs are the same coins."""
    draw = random.Random(f"{seed} {size}")
    columns = [
        {str(item): sum(draw.random() < BASE for _ in runs) / len(runs) for item in range(size)}
        for runs in [range(MOST_REPEATS)] * 2
    ]
    error = 2 * level_of_use(1)
    comparison = differences_from(score_columns(columns, (0.0, 1.0)), 0, 1 - error)[0]
    return comparison.is_shown and comparison.difference > 0


def print_claims(size: int, runs: int, end: float) -> None:
    """Print how often a first claim is made in vain, as far as there is time."""
    claimed = done = 0
    while done < runs and time.monotonic() < end:
        claimed += is_claimed(done, size)
        done += 1
    print(f"{size} items: {claimed} of {done} claims, {share(claimed, done)}")


def is_of(row: dict, setting: Setting) -> bool:
    return all(row[name] == value for name, value in asdict(setting).items())


def read(out: Path) -> list[dict]:
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def print_table(out: Path) -> None:
    print("| truth | items | calls | runs | gain claimed | rule found | mean runs an item |")
    print("|---|---|---|---|---|---|---|")
    rows = read(out)
    settings = {Setting(row["null"], row["size"], row["calls"]) for row in rows}
    for setting in sorted(settings, key=lambda s: (s.null, s.size, s.calls)):
        own = [row for row in rows if is_of(row, setting)]
        claimed = share(sum(row["claimed"] for row in own), len(own))
        found = "-" if setting.null else share(sum(row["found"] for row in own), len(own))
        runs = [row["held_out_runs"] for row in own if row["held_out_runs"]]
        mean = f"{statistics.mean(runs):.1f}" if runs else "-"
        truth = "0" if setting.null else "+20 points"
        print(
            f"| {truth} | {setting.size} | {setting.calls} | {len(own)} | {claimed} | {found} | "
            f"{mean} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--sizes", default="60,120,240")
    parser.add_argument("--calls", type=int, default=400, help="Calls of each search.")
    parser.add_argument("--null", action="store_true", help="The rule brings nothing.")
    parser.add_argument("--claims", type=int, default=0, help="So many claims alone.")
    parser.add_argument("--seconds", type=float, default=1e9, help="No run begins after it.")
    parser.add_argument("--out", type=Path, default=Path("power_at_the_door.jsonl"))
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    for size in map(int, arguments.sizes.split(",")):
        if arguments.claims:
            print_claims(size, arguments.claims, end)
            continue
        setting = Setting(arguments.null, size, arguments.calls)
        run_searches(setting, arguments.runs, arguments.out, end)
    if not arguments.claims:
        print_table(arguments.out)


if __name__ == "__main__":
    main()
