"""A disk that cannot keep results: it is said before any model is asked, in one sentence."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Protocol

import pytest
from pydantic import JsonValue

from kiln_mcp.evals.service import run_eval
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.judging.service import check_judge, draw_items_to_label, label_items
from kiln_mcp.specs.service import build_spec
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage import Task
from storage.errors import WriteError
from storage.index.queries import RunQuery

DISK_KIB = 2048


class SharedProject(Protocol):
    """The project, as conftest.py makes it."""

    @property
    def folder(self) -> Path: ...
    @property
    def model(self) -> "CountedModel": ...
    @property
    def open_home(self) -> Callable[[str], Awaitable[Workspace]]: ...


class CountedModel(Protocol):
    """The model, as conftest.py makes it."""

    asked: list[str]


Paid = Callable[[Workspace, str], Awaitable[object]]


async def score(workspace: Workspace, project: str) -> object:
    return await run_eval(workspace, project, "Right")


async def generate(workspace: Workspace, project: str) -> object:
    return await generate_data(workspace, project, inputs=["a", "b"])


async def evolve(workspace: Workspace, project: str) -> object:
    return await improve_prompt(workspace, project, "Right", "one", max_calls=32)


async def draw(workspace: Workspace, project: str) -> object:
    return await draw_items_to_label(workspace, project, ["Right"], 2, "certificate")


async def measure(workspace: Workspace, project: str) -> object:
    return await check_judge(workspace, project, "Right")


async def draft(workspace: Workspace, project: str) -> object:
    return await build_spec(workspace, project, "Answers are short.", save=True)


PAID = [score, generate, evolve, draw, measure, draft]


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A small disk, where the shared project and homes below it will lie."""
    if sys.platform != "linux":
        pytest.skip("small disks are mounted on Linux alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK_KIB}k", "none", disk)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
async def labelled(disk: Path, shared: SharedProject) -> SharedProject:
    """The project on the small disk, with labels by hand, and no call counted yet."""
    workspace = await shared.open_home("labelling")
    store = await workspace.open_project(str(shared.folder))
    (task,) = await store.children(store.project, Task)
    (golden, *_) = await store.runs(task, RunQuery("tag::golden"))
    label: JsonValue = {"item": golden.id, "label": "pass"}
    call: dict[str, JsonValue] = {
        "project": str(shared.folder),
        "eval": "Right",
        "labels": [label],
        "rater": "ann",
    }
    await label_items.invoke(workspace, call)
    shared.model.asked.clear()
    return shared


def _fill(ballast: Path, leave: int = 0) -> None:
    """Write until the disk is full, but for what is to be left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - leave)


@pytest.mark.parametrize("paid", PAID)
async def test_on_a_read_only_disk_nothing_is_paid_for(
    disk: Path, labelled: SharedProject, paid: Paid
) -> None:
    workspace = await labelled.open_home("elsewhere")
    _mount("-o", "remount,ro", disk)
    with pytest.raises(WriteError, match=r"is read-only for this user\. Nothing has"):
        await paid(workspace, str(labelled.folder))
    assert labelled.model.asked == []


@pytest.mark.parametrize("paid", PAID)
async def test_on_a_full_disk_nothing_is_paid_for(
    disk: Path, labelled: SharedProject, paid: Paid
) -> None:
    workspace = await labelled.open_home("elsewhere")
    _fill(disk / "ballast")
    with pytest.raises(WriteError, match=r"free some space and repeat\. Nothing has"):
        await paid(workspace, str(labelled.folder))
    assert labelled.model.asked == []


async def test_with_a_home_that_cannot_be_written_nothing_is_paid_for(
    disk: Path, shared: SharedProject, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "project"
    copytree(shared.folder, elsewhere)
    workspace = await shared.open_home("home")
    await workspace.open_project(str(elsewhere))
    broken = replace(workspace, settings=replace(workspace.settings, home=disk))
    _mount("-o", "remount,ro", disk)
    with pytest.raises(WriteError, match=rf"{disk} could not be written"):
        await score(broken, str(elsewhere))
    assert shared.model.asked == []


async def test_too_little_space_for_all_results_is_said_with_what_is_needed(
    disk: Path, labelled: SharedProject
) -> None:
    workspace = await labelled.open_home("elsewhere")
    _fill(disk / "ballast", leave=256 * 1024)
    with pytest.raises(WriteError, match=r"has 0\.\d MB left and this takes about 0\.8 MB"):
        await score(workspace, str(labelled.folder))
    assert labelled.model.asked == []


async def test_what_is_scored_already_is_shown_from_a_read_only_disk(
    disk: Path, labelled: SharedProject
) -> None:
    workspace = await labelled.open_home("elsewhere")
    done = await run_eval(workspace, str(labelled.folder), "Right")
    _mount("-o", "remount,ro", disk)
    again = await run_eval(workspace, str(labelled.folder), "Right")
    assert (again.newly_scored, again.table) == (0, done.table)
