"""What is paid for is saved, however long another process writes in the project."""

import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.specs.service import build_spec
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from spec_bench import DRAFTS
from storage import Project, ProjectStore, Record, Spec, Task, TaskOutput, TaskRun
from storage.commits.locks import ProjectLock
from storage.errors import ProjectBusy

Door = Callable[[Workspace, str], Coroutine[None, None, object]]


class ImpatientProjects(KnownProjects):
    """Opens stores whose saves soon give up."""

    async def open(self, folder: Path, home: Path) -> ProjectStore:
        if folder not in self._open:
            self._open[folder] = await ProjectStore.open(folder, home=home, longest_wait_s=0.02)
        return self._open[folder]


async def generate(workspace: Workspace, project: str) -> object:
    return await generate_data(workspace, project, inputs=["Where is it?", "And when?"])


async def draft(workspace: Workspace, project: str) -> object:
    return await build_spec(workspace, project, "be polite", model="scripted", save=True)


@asynccontextmanager
async def support(
    tmp_path: Path, answer: Callable[[ModelRequest], str]
) -> AsyncGenerator[tuple[Workspace, ProjectStore, Task]]:
    store = await ProjectStore.create(tmp_path / "p", Project(name="Support"))
    await store.save(Task(name="Reply", instruction="Answer."), parent=store.project)
    await store.close()
    settings = Settings(home=tmp_path / "home", engine=EngineSettings(default_model="scripted"))
    async with Engine(settings.engine, {"scripted": ScriptedModel(answer)}) as engine:
        known = ImpatientProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known)
        opened = await workspace.open_project(str(tmp_path / "p"))
        (task,) = await opened.children(opened.project, Task)
        yield workspace, opened, task
        await known.close()


@pytest.mark.parametrize(("call", "kind", "count"), [(generate, TaskRun, 2), (draft, Spec, 2)])
async def test_an_answer_that_is_paid_for_outlasts_a_lock_that_others_give_up_on(
    tmp_path: Path, call: Door, kind: type[Record], count: int
) -> None:
    lock = ExitStack()
    elsewhere = ProjectLock(tmp_path / "p", tmp_path / "other_home")
    is_paid = anyio.Event()

    def answer(request: ModelRequest) -> str:
        if not is_paid.is_set():
            lock.enter_context(elsewhere.hold())
            is_paid.set()
        return json.dumps(DRAFTS) if request.schema else "Thank you."

    async with support(tmp_path, answer) as (workspace, store, task):
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(call, workspace, str(tmp_path / "p"))
                await is_paid.wait()
                for _ in range(5):
                    other = TaskRun(input="i", output=TaskOutput(output="o"))
                    with pytest.raises(ProjectBusy):
                        await store.save(other, parent=task)
                lock.close()
        assert len(await store.children(task, kind)) == count
