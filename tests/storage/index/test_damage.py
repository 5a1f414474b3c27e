"""The index is disposable: whatever lies in its place, every question is answered."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import CorruptRecord, ProjectBusy, UnreadableRecord, WriteError
from storage.index.keeper import IndexKeeper
from storage.index.queries import RunQuery


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "home") as s:
        task = await s.save(Task(name="T", instruction="Do."), parent=s.project)
        for number in range(40):
            run = TaskRun(input=f"in {number}", output=TaskOutput(output="out"), tags=("a",))
            await s.save(run, parent=task)
        await s.refresh()
    return folder


def _index(home: Path) -> Path:
    (file,) = home.glob("projects/*/index.sqlite")
    return file


async def _ask(store: ProjectStore) -> int:
    (task,) = await store.children(store.project, Task)
    page = await store.page_of_runs(task, RunQuery(filter_id="tag::a", text="out"))
    assert page.total == await store.count_runs(task, RunQuery())
    assert await store.unreadable() == await store.duplicates() == []
    return page.total


def _garbage(index: Path) -> None:
    index.write_bytes(os.urandom(20_000))


def _folder(index: Path) -> None:
    index.unlink()
    (index / "inside").mkdir(parents=True)


def _log_is_a_folder(index: Path) -> None:
    log = index.with_name("index.sqlite-wal")
    log.unlink(missing_ok=True)
    log.mkdir()


def _link_to_nowhere(index: Path) -> None:
    index.unlink()
    index.symlink_to(index.parent / "nowhere" / "x")


def _half(index: Path) -> None:
    held = index.read_bytes()
    index.write_bytes(held[: len(held) // 2])


def _no_tables(index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("DROP TABLE facets")
    connection.close()


def _read_only(index: Path) -> None:
    index.chmod(0o400)


@pytest.mark.parametrize(
    "damage",
    [_garbage, _folder, _log_is_a_folder, _link_to_nowhere, _half, _no_tables, _read_only],
)
async def test_an_index_that_cannot_be_used_is_built_again(
    project: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(_index(tmp_path / "home"))
    async with await ProjectStore.open(project, home=tmp_path / "home") as store:
        assert await _ask(store) == 40


@pytest.mark.parametrize("damage", [_garbage, _half, _no_tables])
async def test_an_index_that_breaks_under_an_open_store_is_built_again(
    project: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with await ProjectStore.open(project, home=tmp_path / "home") as store:
        assert await _ask(store) == 40
        damage(_index(tmp_path / "home"))
        (task,) = await store.children(store.project, Task)
        new = TaskRun(input="new", output=TaskOutput(output="out"), tags=("a",))
        await store.save(new, parent=task)
        assert await _ask(store) == 41


async def test_where_the_home_has_no_place_for_an_index_it_is_done_without(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("no folder", encoding="utf-8")
    keeper = IndexKeeper(project, tmp_path / "taken" / "index.sqlite")
    async with await ProjectStore.open(project) as store:
        (task,) = await store.children(store.project, Task)
        counts = await keeper.ask(lambda index: index.counts(task.saved.path))
        assert counts == {"task_run": 40}
        await keeper.close()


async def test_of_an_index_that_another_process_holds_for_too_long_it_is_said(
    project: Path, tmp_path: Path
) -> None:
    class Busy(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_BUSY

    async def busy(_: object) -> int:
        raise Busy("database is locked")

    keeper = IndexKeeper(project, tmp_path / "index.sqlite")
    with pytest.raises(ProjectBusy, match="try again"):
        await keeper.ask(busy)
    await keeper.close()


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _made_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _made_a_list(file: Path) -> None:
    file.write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_emptied, "it is empty"),
        (_made_a_folder, "it is a folder, not a file"),
        (_made_a_list, "it is no JSON object"),
        (_garbage, "it is no JSON"),
    ],
)
async def test_a_project_file_that_cannot_be_used_is_named_with_its_folder_and_the_next_step(
    project: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(project / "project.kiln")
    with pytest.raises(UnreadableRecord, match="The project cannot be opened") as refused:
        await ProjectStore.open(project)
    said = str(refused.value)
    assert said.startswith(f"{project}/project.kiln: {reason}")
    assert "Restore an earlier version of that file" in said


async def test_a_record_that_is_empty_is_called_so(project: Path) -> None:
    async with await ProjectStore.open(project) as store:
        (task,) = await store.children(store.project, Task)
        run = (await store.children(task, TaskRun))[0]
        await anyio.Path(store.folder / run.saved.path).write_bytes(b"")
        await store.refresh()
        with pytest.raises(CorruptRecord, match="it is empty"):
            await store.get(TaskRun, run.id)


async def test_of_a_file_that_cannot_be_used_the_reason_of_now_is_told(project: Path) -> None:
    async with await ProjectStore.open(project) as store:
        (task,) = await store.children(store.project, Task)
        run = (await store.children(task, TaskRun))[0]
        file = anyio.Path(store.folder / run.saved.path)
        good = await file.read_bytes()
        for content, reasons in (
            (b"", ["it is empty"]),
            (b"[]", ["it is no JSON object"]),
            (good, []),
        ):
            await file.write_bytes(b"{")
            await store.children(task, TaskRun)
            await file.write_bytes(content)
            await store.refresh()
            assert [problem.reason for problem in await store.unreadable()] == reasons


async def test_a_home_that_cannot_hold_what_belongs_to_a_project_is_named(
    project: Path, tmp_path: Path
) -> None:
    (place,) = (tmp_path / "home" / "projects").iterdir()
    shutil.rmtree(place)
    place.write_text("no folder", encoding="utf-8")
    with pytest.raises(WriteError, match="could not be written"):
        await ProjectStore.open(project, home=tmp_path / "home")


async def test_a_journal_that_was_damaged_is_set_aside(project: Path, tmp_path: Path) -> None:
    pending = project / ".trash" / "pending"
    (pending / "x.json").write_text("{", encoding="utf-8")
    async with await ProjectStore.open(project, home=tmp_path / "home") as store:
        (problem,) = await store.unreadable()
        await store.empty_trash()
        assert await _ask(store) == 40
    assert problem.path.startswith(".trash/foreign/x.")
    assert not pending.exists()
