"""Open the whole demo project: ours beside Kiln's own library, in one run.

    KILN_AI_PYTHON=/venv/bin/python .venv/bin/python benchmarks/house/open_project.py PROJECT_FOLDER

PROJECT_FOLDER is Kiln's public demo project, unpacked (6,543 files). KILN_AI_PYTHON is the python
of a venv with `pip install kiln-ai==1.2.0 "mcp<2"`; without it only ours is timed. Every record of
every kind is read and validated, each time in a fresh process; imports are not counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

OURS = """
import sys, time
from pathlib import Path
import anyio
from storage import *

async def main():
    began = time.perf_counter()
    store = await ProjectStore.open(Path(sys.argv[1]))
    count = 1
    for task in await store.children(store.project, Task):
        count += 1
        for kind in (TaskRun, Prompt, TaskRunConfig, DatasetSplit, Finetune, Spec):
            count += len(await store.children(task, kind))
        for one in await store.children(task, Eval):
            count += 1
            for judge in await store.children(one, EvalConfig):
                count += 1 + len(await store.children(judge, EvalRun))
    print(time.perf_counter() - began, count, len(store.problems))

anyio.run(main)
"""

KILN = """
import sys, time
from kiln_ai.datamodel import Project
from kiln_ai.datamodel.eval import Eval
began = time.perf_counter()
project = Project.load_from_file(sys.argv[1] + "/project.kiln")
count = 1
for task in project.tasks():
    count += 1
    for children in (task.runs, task.prompts, task.run_configs, task.dataset_splits,
                     task.finetunes, task.specs):
        count += len(children())
    for one in task.evals():
        count += 1
        for judge in one.configs():
            count += 1 + len(judge.runs())
print(time.perf_counter() - began, count, 0)
"""


def seconds(python: str, program: str, folder: Path) -> tuple[float, int]:
    """Run a program in a fresh process; return the seconds it measured and the records it read."""
    done = subprocess.run(
        [python, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    took, count, problems = done.stdout.split()[-3:]
    assert problems == "0", done.stdout
    return float(took), int(count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    kiln = os.environ.get("KILN_AI_PYTHON")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(options.runs):
        took, count = seconds(sys.executable, OURS, options.folder)
        ours.append(took)
        if kiln:
            took, their_count = seconds(kiln, KILN, options.folder)
            theirs.append(took)
            assert count == their_count, (count, their_count)
    print(f"ours: median {statistics.median(ours):.2f} s for {count} records")
    if theirs:
        print(f"kiln-ai: median {statistics.median(theirs):.2f} s")
        print(f"ratio: {statistics.median(theirs) / statistics.median(ours):.1f} x")
    else:
        print("kiln-ai: not measured (KILN_AI_PYTHON is not set)")


if __name__ == "__main__":
    main()
