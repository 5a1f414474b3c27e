"""The peak memory of exports of training data, each format in a process of its own.

    python benchmarks/tuning/exports.py FOLDER [--runs 100000]

It makes a project of so many runs with random words (an input of 60 words, a JSON answer of 20, a
reasoning of 30; 70 % train, 10 % val, 20 % test), unless FOLDER has it. For each format it prints
the memory before and at the peak, seconds, and CPU seconds. The inputs of `test` are held out, so
that the check for leaks compares them with all others.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from ticket_table import Agrees

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.tuning.answers import TrainingFiles
from kiln_mcp.tuning.formats import ExportFormat
from kiln_mcp.tuning.service import export
from storage import (
    DatasetSplit,
    DataSource,
    Project,
    ProjectStore,
    SplitDefinition,
    Task,
    TaskOutput,
    TaskRun,
)

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["text", "n"],
}
ANN = DataSource(type="human", properties={"created_by": "ann"})
AT_ONCE = 1000


class Words:
    """Texts of random words, some of which are far commoner than others."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.words = [self.word() for _ in range(5000)]
        self.weights = list(accumulate(1 / (place + 10) for place in range(len(self.words))))

    def word(self) -> str:
        syllables = range(self.chance.randint(1, 4))
        return "".join(
            self.chance.choice("bdfgklmnprst") + self.chance.choice("aeiou") for _ in syllables
        )

    def text(self, count: int) -> str:
        return " ".join(self.chance.choices(self.words, cum_weights=self.weights, k=count))


def run_of(number: int, words: Words) -> TaskRun:
    part = "test" if number % 10 > 7 else "val" if number % 10 == 7 else "train"
    answer = json.dumps({"text": words.text(20), "n": number})
    return TaskRun(
        input=words.text(60),
        output=TaskOutput(output=answer, source=ANN),
        tags=(f"{part}_right",),
        intermediate_outputs={"reasoning": words.text(30)},
    )


async def make_project(folder: Path, count: int) -> None:
    words = Words(1)
    async with await ProjectStore.create(folder, Project(name="Large")) as store:
        task = Task(name="T", instruction="Answer.", output_json_schema=json.dumps(SCHEMA))
        task = await store.save(task, parent=store.project)
        for begin in range(0, count, AT_ONCE):
            async with store.transaction() as change:
                for number in range(begin, min(begin + AT_ONCE, count)):
                    change.save(run_of(number, words), task)
        rows = await store.views(task, TaskRun, lambda run: (run.tags[0], run.id))
        frozen = DatasetSplit(
            name="Frozen",
            splits=tuple(SplitDefinition(name=n, percentage=s) for n, s in SHARES.items()),
            split_contents={
                part: tuple(own for tag, own in rows if tag == f"{part}_right") for part in SHARES
            },
        )
        await store.save(frozen, parent=task)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(folder: Path, shape: ExportFormat) -> dict[str, object]:
    settings = Settings(home=folder / "home", engine=EngineSettings(environment={}))
    async with installed_catalogue().open_workspace(settings) as shared:
        workspace = replace(shared, person=Agrees())
        project = str(folder / "project")
        await (await workspace.open_project(project)).refresh()
        before, started, cpu = peak_mb(), time.perf_counter(), time.process_time()
        answer = await export(
            workspace, project, "training_data", str(folder / "out"), split="Frozen", format=shape
        )
        assert isinstance(answer, TrainingFiles)
    return {
        "format": shape,
        "examples": sum(file.examples for file in answer.files),
        "before_mb": round(before),
        "peak_mb": round(peak_mb()),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--format", type=ExportFormat, help="in this process, of what is there")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    if options.format:
        print(json.dumps(asyncio.run(measure(folder, options.format))), flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "project").exists():
        asyncio.run(make_project(folder / "project", options.runs))
    for shape in ExportFormat:
        subprocess.run([sys.executable, __file__, str(folder), "--format", shape], check=True)


if __name__ == "__main__":
    main()
