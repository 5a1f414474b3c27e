"""Fixtures of sharing: a bare repository, and two people with a clone of one project."""

import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.sharing.sync import Sharing, fetch_project


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)
    return hub


@pytest.fixture
async def ana(tmp_path: Path, hub: Path) -> AsyncGenerator[ProjectStore]:
    folder = tmp_path / "ana"
    async with await ProjectStore.create(folder, Project(name="Shared"), home=tmp_path / "h1") as s:
        task = await s.save(Task(name="Support", instruction="Answer."), parent=s.project)
        run = TaskRun(input="hi", output=TaskOutput(output="hello"), tags=("first",))
        await s.save(run, parent=task)
        await Sharing(s).share(str(hub))
        await Sharing(s).sync()
        yield s


@pytest.fixture
async def ben(tmp_path: Path, hub: Path, ana: ProjectStore) -> AsyncGenerator[ProjectStore]:
    """Return a clone of the project, fetched after `ana` shared it."""
    assert ana.project.name
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as store:
        yield store
