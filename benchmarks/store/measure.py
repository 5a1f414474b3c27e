"""Measure the store: on the demo project, beside Kiln's own library, and as a project grows.

python benchmarks/store/measure.py DEMO_FOLDER [--kiln PYTHON] [--sizes 1000,10000,100000]
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from storage import Eval, EvalConfig, EvalRun, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.index.queries import RunQuery
from storage.text.json_text import write_json

_KILN = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from kiln_ai.datamodel import Project
def visit(readonly):
    began, count = time.perf_counter(), 0
    project = Project.load_from_file(Path(sys.argv[1]) / "project.kiln")
    for task in project.tasks(readonly=readonly):
        kinds = (task.dataset_splits, task.finetunes, task.prompts, task.run_configs)
        count += sum(len(kind(readonly=readonly)) for kind in kinds)
        count += len(task.runs(readonly=readonly))
        for measured in task.evals(readonly=readonly):
            for judge in measured.configs(readonly=readonly):
                count += len(judge.runs(readonly=readonly))
    return time.perf_counter() - began
print(visit(False), visit(True))
"""


def say(name: str, seconds: float, note: str = "") -> None:
    print(f"{name:<58} {seconds * 1000:10.1f} ms  {note}", flush=True)


async def timed(work: Callable[[], Awaitable[object]], times: int = 1) -> float:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def warm_open(folder: Path, home: Path) -> None:
    async with await ProjectStore.open(folder, home=home) as store:
        await store.refresh()
        await store.counts(store.project)


async def demo(folder: Path, kiln: str | None) -> None:
    began = time.perf_counter()
    for file in folder.rglob("*.kiln"):  # noqa: ASYNC240 - nothing else runs meanwhile
        json.loads(file.read_bytes())
    say("demo: plain JSON parsing of all files", time.perf_counter() - began)
    home = Path(tempfile.mkdtemp())
    say("demo: cold open (no index)", await timed(lambda: warm_open(folder, home)))
    say("demo: warm open", await timed(lambda: warm_open(folder, home), 5))
    async with await ProjectStore.open(folder, home=home) as store:
        (task,) = await store.children(store.project, Task)
        evals = await store.children(task, Eval)
        big = next(e for e in evals if "Correctness" in e.name)
        say("demo: score table of one eval", await timed(lambda: store.score_table(big), 9))
        say("demo: all eval runs as records", await timed(lambda: _all_eval_runs(store, big)))
    shutil.rmtree(home)
    if kiln:
        out = subprocess.run(  # noqa: ASYNC221
            [kiln, "-c", _KILN, str(folder)], capture_output=True, text=True, check=True
        )
        cold, again = (float(part) for part in out.stdout.split())
        say("kiln-ai 1.2.0: every record, editable", cold)
        say("kiln-ai 1.2.0: every record, read-only, second time", again)


async def _all_eval_runs(store: ProjectStore, measured: Eval) -> None:
    for judge in await store.children(measured, EvalConfig):
        await store.children(judge, EvalRun)


async def generated(size: int) -> None:
    root = Path(tempfile.mkdtemp())
    folder, home = root / "p", root / "home"
    async with await ProjectStore.create(folder, Project(name="Big"), home=home) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        _generate(store.side_folder(task) / "runs", size)
    say(f"{size} runs: cold open", await timed(lambda: warm_open(folder, home)))
    say(f"{size} runs: warm open", await timed(lambda: warm_open(folder, home), 3))
    async with await ProjectStore.open(folder, home=home) as store:
        (task,) = await store.children(store.project, Task)
        await store.counts(task)
        for name, query in (
            ("a tag", RunQuery(filter_id="tag::golden")),
            ("a tag and a word of 1 % of runs", RunQuery(filter_id="tag::golden", text="rare")),
            ("a tag and a word of all runs", RunQuery(filter_id="tag::golden", text="seven")),
            ("all", RunQuery()),
        ):
            took = await timed(lambda wanted=query: _page(store, task, wanted), 9)
            say(f"{size} runs: page of 20, {name}", took)
        run = TaskRun(input="x", output=TaskOutput(output="y" * 2000))

        async def save() -> None:
            await store.save(run.replace(id=str(random.randrange(10**11, 10**12))), parent=task)

        say(f"{size} runs: one save of a new run", await timed(save, 25))
    print(f"{size} runs: peak memory of this process {_peak_mib():.0f} MiB", flush=True)
    say(f"{size} runs: describe_project, project open", await _described(folder, home))
    print(f"{size} runs: peak memory with all capabilities {_peak_mib():.0f} MiB", flush=True)
    shutil.rmtree(root)


async def _described(folder: Path, home: Path) -> float:
    from kiln_mcp.catalogue import installed_catalogue  # imported here: the store needs none of it
    from kiln_mcp.settings import Settings

    catalogue = installed_catalogue()
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    async with catalogue.open_workspace(settings) as workspace:

        async def describe() -> None:
            await catalogue.perform(workspace, "describe_project", {"project": str(folder)})

        await describe()
        return await timed(describe, 3)


def _peak_mib() -> float:
    """Return this program's peak memory; getrusage would count what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _page(store: ProjectStore, task: Task, query: RunQuery) -> None:
    await store.page_of_runs(task, query)


def _generate(folder: Path, size: int) -> None:
    chance = random.Random(1)
    words = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    for number in range(size):
        run = TaskRun(
            id=f"{10**11 + number}",
            input=" ".join(chance.choices(words, k=30)) + (" rare" if number % 100 == 0 else ""),
            output=TaskOutput(output=" ".join(chance.choices(words, k=200))),
            tags=("golden",) if number % 10 == 0 else ("train",),
        )
        own = folder / run.id
        own.mkdir(parents=True)
        (own / "task_run.kiln").write_text(
            write_json(run.model_dump(mode="json")), encoding="utf-8"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--kiln")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--one-size", type=int)
    given = parser.parse_args()
    if given.one_size:
        asyncio.run(generated(given.one_size))
        return
    asyncio.run(demo(given.demo, given.kiln))
    for size in given.sizes.split(","):  # a process for each, so that memory is its own
        subprocess.run([sys.executable, __file__, given.demo, "--one-size", size], check=True)


main()
