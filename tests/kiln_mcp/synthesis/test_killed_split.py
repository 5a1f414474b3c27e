"""A split that is killed leaves no group in two parts, and the next one completes it."""

import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from kiln_mcp.datasets.parts import part_tags
from kiln_mcp.synthesis.split_assignment import (
    Dataset,
    DealRequest,
    deal_items,
    open_dataset,
    part_of,
    save_deal,
)
from storage import Project, ProjectStore, Task, TaskOutput, TaskRun

ITEMS, GROUP = 1200, 4
SHARES = {"train": 50, "test": 50}
_WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from kiln_mcp.synthesis.split_assignment import DealRequest, deal_items, open_dataset, save_deal
from storage import ProjectStore, Task

left = int(sys.argv[3])

def die_at_the_last(event, _):
    global left
    left -= event == "os.rename"
    if event == "os.rename" and not left:
        os.kill(os.getpid(), signal.SIGKILL)

async def work(folder, home):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        (task,) = await store.children(store.project, Task)
        dataset = await open_dataset(store, task, "all")
        request = DealRequest("s", "s", {"train": 50, "test": 50}, 1, True, is_new=True)
        deal = await deal_items(dataset.items, request)
        sys.addaudithook(die_at_the_last)
        await save_deal(store, task, dataset, deal)

asyncio.run(work(*sys.argv[1:3]))
"""


def question(group: int, member: int) -> str:
    return f"alpha{group} beta{group} gamma{group} delta{group} epsilon{group} zeta{group} {member}"


async def new_project(folder: Path) -> None:
    async with await ProjectStore.create(
        folder / "p", Project(name="P"), home=folder / "home"
    ) as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        async with store.transaction() as change:
            for number in range(ITEMS):
                text = question(*divmod(number, GROUP))
                output = TaskOutput(output="o")
                change.save(TaskRun(input=text, output=output, tags=("own",)), task)


async def dataset_of(store: ProjectStore) -> tuple[Task, Dataset]:
    (task,) = await store.children(store.project, Task)
    dataset = await open_dataset(store, task, "all")
    assert len(dataset.items) == ITEMS
    return task, dataset


def parts_by_group(dataset: Dataset) -> list[set[str | None]]:
    parts: dict[str, set[str | None]] = defaultdict(set)
    for item in dataset.items:
        assert "own" in item.tags
        parts[item.text.partition(" ")[0]].add(part_of(item, part_tags("s")))
    return list(parts.values())


@pytest.mark.slow
@pytest.mark.parametrize("rename", [2, 500, 1001, 1003])
async def test_a_split_that_is_killed_leaves_no_group_in_two_parts(
    tmp_path: Path, rename: int
) -> None:
    """The first batch has a thousand items and a log, the second one the others and a log."""
    await new_project(tmp_path)
    command = [sys.executable, "-c", _WORKER, str(tmp_path / "p"), str(tmp_path / "home")]
    worker = subprocess.run([*command, str(rename)], check=False, timeout=60)  # noqa: ASYNC221
    assert worker.returncode == -signal.SIGKILL
    async with await ProjectStore.open(tmp_path / "p", home=tmp_path / "home") as store:
        task, dataset = await dataset_of(store)
        before = parts_by_group(dataset)
        assert {len(parts) for parts in before} == {1}
        assert ({None} in before) == (rename < 1003)
        if {None} not in before:
            return
        request = DealRequest("s", "s", SHARES, 1, "topics", is_new=False)
        await save_deal(store, task, dataset, await deal_items(dataset.items, request))
        after = parts_by_group((await dataset_of(store))[1])
        assert {len(parts) for parts in after} == {1}
        assert {None} not in after
