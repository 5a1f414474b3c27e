"""Rows: many records at once."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from place import Door, Figures, children_cpu, door, warm

PANDAS: Final = """
import pathlib, sys, pandas
table, folder = sys.argv[1], pathlib.Path(sys.argv[2])
for number, row in enumerate(pandas.read_json(table, lines=True).itertuples()):
    place = folder / str(number)
    place.mkdir(parents=True)
    (place / "row.json").write_text(row.input + row.output)
"""
"""Reads a table and writes a file in a folder for each row, as Kiln's format has them: no ids, no
checks, no wait for the disk."""
GUESTS: Final = [f"{first}{last}" for first in ("Ba", "De", "Ki", "Lo") for last in ("na", "ri")]
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NO_UPKEEP: Final = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
"""Git's upkeep would go on behind a measurement, in a folder that is removed."""
GIT: Final = ("git", *NO_UPKEEP, "-c", "user.name=measure", "-c", "user.email=measure@localhost")


def templated(number: int) -> str:
    """Texts of one template: near-duplicates in groups, of which all share most of their words."""
    guests, place, day = number % 12 + 1, GUESTS[number * 7 % 8], DAYS[number * 5 % 7]
    return f"Please book a table for {guests} at {place} on {day} number {number}"


def table_of(place: Door, rows: int) -> Path:
    """Write a table of templated texts, and create a project with a task for it."""
    table = place.folder / "rows.jsonl"
    with table.open("w", encoding="utf-8") as file:
        for number in range(rows):
            line = {"input": templated(number), "output": f"Answer {number}.", "tags": ["a"]}
            file.write(json.dumps(line) + "\n")
    place.run("create-project", "--name", "P", "--folder", str(place.project))
    place.run("create-project", *of_project(place), "--name", "T", "--instruction", "Answer.")
    warm(place)
    return table


def of_project(place: Door) -> list[str]:
    return ["--project", str(place.project)]


def named(figures: Figures, prefix: str) -> Figures:
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def bulk(rows: int, pandas: Path | None) -> Figures:
    """Import a table, index it from nothing, and split it by near-duplicates."""
    with door() as place:
        table = table_of(place, rows)
        imported = place.measured("add-data", *of_project(place), "--file", str(table))
        figures = {**named(imported, "import"), "import_daemon_mib": place.daemon_peak_mib()}
        if pandas is not None:
            figures |= named(with_pandas(pandas, table, place.folder / "files"), "pandas")
        figures |= named(first_index(place), "index")
        warm(place)
        split = place.measured("split-data", *of_project(place), "--name", "s")
        return {**figures, **named(split, "split"), "split_daemon_mib": place.daemon_peak_mib()}


def first_index(place: Door) -> Figures:
    """Describe a project of which nothing is indexed."""
    place.stop_daemon()
    for file in place.home.glob("projects/*/index.sqlite*"):
        file.unlink()
    return place.measured("describe-project", *of_project(place))


def with_pandas(python: Path, table: Path, folder: Path) -> Figures:
    began, before = time.perf_counter(), children_cpu()
    subprocess.run([str(python), "-c", PANDAS, str(table), str(folder)], check=True)
    wall, cpu = time.perf_counter() - began, children_cpu() - before
    shutil.rmtree(folder)
    return {"wall_s": wall, "cpu_s": cpu}


def changes(rows: int) -> Figures:
    """Tag all runs of a shared project, sync that, and delete them."""
    with door() as place:
        table = table_of(place, rows)
        place.run("add-data", *of_project(place), "--file", str(table))
        hub = place.folder / "hub.git"
        subprocess.run([*GIT, "init", "-q", "--bare", "-b", "main", str(hub)], check=True)
        asyncio.run(sync(place, hub))
        ids = [folder.name.partition(" ")[0] for folder in place.project.glob("tasks/*/runs/*")]
        runs = [part for run in ids for part in ("--runs", run)]
        figures = named(
            place.measured("mark-runs", *of_project(place), *runs, "--add-tags", "b"), "tag"
        )
        figures |= {"git_alone_wall_s": git_alone(place, hub)}
        figures |= named(asyncio.run(sync(place)), "sync")
        records = [part for run in ids for part in ("--records", run)]
        delete = ["delete-records", *of_project(place), "--kind", "run", *records, "--yes"]
        return {**figures, **named(place.measured(*delete), "delete")}


async def sync(place: Door, hub: Path | None = None) -> Figures:
    """Sync in this process: at the doors a person approves what is sent.

    Args:
        place: The project.
        hub: The shared repository, the first time.
    """
    from storage import ProjectStore
    from storage.collaboration.sync import Sharing

    async with await ProjectStore.open(place.project, home=place.home) as store:
        sharing = Sharing(store)
        if hub is not None:
            await sharing.share(str(hub))
        began, before = time.perf_counter(), os.times()
        await sharing.sync()
        wall, after = time.perf_counter() - began, os.times()
    return {"wall_s": wall, "cpu_s": sum(after[:4]) - sum(before[:4])}


def git_alone(place: Door, hub: Path) -> float:
    """Add and commit the same changes in a clone of the project; return the seconds.

    Git itself copies its folder: it may be packing objects in the background.
    """
    copy = place.folder / "copy"
    subprocess.run([*GIT, "clone", "-q", str(hub), str(copy)], check=True)
    passing = shutil.ignore_patterns(".trash", ".git")
    shutil.copytree(place.project, copy, symlinks=True, ignore=passing, dirs_exist_ok=True)
    began = time.perf_counter()
    subprocess.run([*GIT, "add", "-A"], cwd=copy, check=True)
    subprocess.run([*GIT, "commit", "-q", "-m", "Tag"], cwd=copy, check=True, timeout=600)
    took = time.perf_counter() - began
    shutil.rmtree(copy)
    return took
