"""Fixtures of sharing: a bare repository, and two people with a clone of one project."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.sync import Sharing, fetch_project


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)
    return hub


@pytest.fixture(scope="session")
def shared_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was shared with a hub, to be copied: sharing it starts a hundred processes."""
    above = tmp_path_factory.mktemp("shared")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", above / "hub.git"], check=True)

    async def share() -> None:
        folder, project = above / "ana", Project(name="Shared")
        async with await ProjectStore.create(folder, project, home=above / "h1") as store:
            task = await store.save(
                Task(name="Support", instruction="Answer."), parent=store.project
            )
            run = TaskRun(input="hi", output=TaskOutput(output="hello"), tags=("first",))
            await store.save(run, parent=task)
            await Sharing(store).share(str(above / "hub.git"))
            await Sharing(store).sync()

    asyncio.run(share())
    return above


@pytest.fixture
def shared_copy(tmp_path: Path, hub: Path, shared_template: Path) -> Path:
    """Copy the template; return the folder of the project."""
    shutil.copytree(shared_template / "hub.git", hub, dirs_exist_ok=True)
    folder = shutil.copytree(shared_template / "ana", tmp_path / "ana")
    subprocess.run(["git", "remote", "set-url", "origin", hub], cwd=folder, check=True)
    return folder


@pytest.fixture
async def ana(tmp_path: Path, shared_copy: Path) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.open(shared_copy, home=tmp_path / "h1") as store:
        yield store


@pytest.fixture
async def ben(tmp_path: Path, hub: Path, ana: ProjectStore) -> AsyncGenerator[ProjectStore]:
    """Return a clone of the project, fetched after `ana` shared it."""
    assert ana.project.name
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as store:
        yield store
