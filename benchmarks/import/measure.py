"""Import one CSV by our door, by Kiln's own importer and by pandas alone, in one run.

    python benchmarks/import/measure.py --rows 10000 --peers PYTHON

PYTHON is the Python of an environment with kiln-ai and pandas. Each reads the same file of input,
output and tags. Ours and Kiln's write a project; pandas writes a file in a folder for each row.
Figures are CPU seconds and the peak of memory of one process each, and the wall time.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

OURS: Final = """
import asyncio, sys
from pathlib import Path
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace

async def work(table, folder):
    settings = Settings.from_environment({"KILN_MCP_HOME": folder + "/home"})
    tools = installed_catalogue()
    async with open_workspace(settings) as opened:
        await tools.perform(opened, "create_project", {"name": "P", "folder": folder + "/p"})
        task = {"project": "P", "name": "T", "instruction": "Answer."}
        await tools.perform(opened, "create_project", task)
        report = await tools.perform(opened, "add_data", {"project": "P", "file": table})
        assert report["new_items"] == int(sys.argv[3]), report

asyncio.run(work(*sys.argv[1:3]))
"""
KILN: Final = """
import sys
from pathlib import Path
from kiln_ai.datamodel import Project, Task
from kiln_ai.utils.dataset_import import DatasetFileImporter, DatasetImportFormat, ImportConfig
project = Project(name="P", path=Path(sys.argv[2]) / "k" / "project.kiln")
project.path.parent.mkdir(parents=True)
project.save_to_file()
task = Task(name="T", instruction="Answer.", parent=project)
task.save_to_file()
config = ImportConfig(
    dataset_type=DatasetImportFormat.CSV, dataset_path=sys.argv[1], dataset_name="rows.csv"
)
DatasetFileImporter(task, config).create_runs_from_file()
"""
PANDAS: Final = """
import sys
from pathlib import Path
import pandas
for number, row in enumerate(pandas.read_csv(sys.argv[1]).itertuples()):
    folder = Path(sys.argv[2]) / "pandas" / str(number)
    folder.mkdir(parents=True)
    (folder / "row.json").write_text(row.input + row.output)
"""


def measure(python: str, program: str, table: Path, folder: Path, rows: int) -> str:
    began = time.perf_counter()
    worker = subprocess.Popen([python, "-c", program, str(table), str(folder), str(rows)])
    _, status, usage = os.wait4(worker.pid, 0)
    wall = time.perf_counter() - began
    if status:
        return "failed"
    cpu = usage.ru_utime + usage.ru_stime
    return f"{cpu:.1f} s CPU, {usage.ru_maxrss // 1024} MiB, {wall:.0f} s wall"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--peers", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="import-") as place:
        table = Path(place, "rows.csv")
        with table.open("w", encoding="utf-8", newline="") as file:
            lines = ([f"Question {n}? About parcel {n * 7}.", f"Answer {n}.", "a"]
                     for n in range(options.rows))  # fmt: skip
            csv.writer(file).writerows([["input", "output", "tags"], *lines])
        programs = {"ours": (sys.executable, OURS)}
        if options.peers:
            programs |= {"Kiln": (options.peers, KILN), "pandas": (options.peers, PANDAS)}
        for name, (python, program) in programs.items():
            print(name, measure(python, program, table, Path(place), options.rows), flush=True)


if __name__ == "__main__":
    main()
