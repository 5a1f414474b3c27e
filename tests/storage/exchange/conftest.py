"""A small project with every sort of file in its folder."""

from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    place = tmp_path / "origin"
    async with await ProjectStore.create(place, Project(name="Café")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        for text in ("one", "two"):
            run = TaskRun(input=text, output=TaskOutput(output="x"))
            await store.save(run, parent=task)
    return place
