"""A disk that is full or read-only, files that vanish, homes and people that share a folder."""

import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from shutil import rmtree

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.commits.locks import ProjectLock
from storage.errors import CorruptRecord, ProjectBusy, StaleRevision, WriteError
from storage.git.git import Git
from storage.index.queries import RunQuery
from storage.records import Record

_SIZE_KIB = 512
_HOLDER = """
import sys, time
from pathlib import Path
from storage.commits.locks import ProjectLock

with ProjectLock(Path(sys.argv[1]), Path(sys.argv[2])).hold():
    print("held", flush=True)
    time.sleep(60)
"""


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    """A disk of half a megabyte."""
    if sys.platform != "linux":
        pytest.skip("small disks are mounted on Linux alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={_SIZE_KIB}k", "none", disk)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _run(text: str) -> TaskRun:
    return TaskRun(input=text, output=TaskOutput(output="x" * 60_000))


def _file(folder: Path, record: Record) -> Path:
    assert record.saved is not None
    return folder / record.saved.path


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


async def test_a_full_disk_refuses_a_change_whole_and_takes_it_once_there_is_space(
    disk: Path, tmp_path: Path
) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * (_SIZE_KIB - 256) * 1024)
    folder, home = disk / "p", tmp_path / "home"
    async with await ProjectStore.create(folder, Project(name="Small"), home=home) as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        kept = await store.save(_run("kept"), parent=task)
        before = _contents(folder)

        async def save_many() -> None:
            async with store.transaction() as change:
                change.save(kept.replace(tags=("changed",)))
                for number in range(8):
                    change.save(_run(f"together {number}"), task)

        with pytest.raises(WriteError, match="free some space"):
            await save_many()
        assert _contents(folder) == before
        assert [run.input for run in await store.children(task, TaskRun)] == ["kept"]

        alone: list[str] = []

        async def save_until_full() -> None:
            for number in range(8):
                await store.save(_run(f"alone {number}"), parent=task)
                alone.append(f"alone {number}")

        with pytest.raises(WriteError, match="Nothing has been changed"):
            await save_until_full()
        assert len(await store.children(task, TaskRun)) == 1 + len(alone)

        ballast.unlink()
        await store.save(kept.replace(tags=("changed",)))
        await store.save(_run("after"), parent=task)
    async with await ProjectStore.open(folder, home=home) as store:
        runs = await store.children(task, TaskRun)
        assert store.problems == ()
        assert {run.input for run in runs} == {
            "kept",
            "after",
            *alone,
        }
        assert not [name for name in _contents(folder) if name.endswith(".new")]


async def test_a_read_only_project_can_be_read_and_says_that_it_is_not_written(
    disk: Path, tmp_path: Path
) -> None:
    folder = disk / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "a") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        await store.save(_run("kept"), parent=task)
    _mount("-o", "remount,ro", disk)
    async with await ProjectStore.open(folder, home=tmp_path / "b") as store:
        (task,) = await store.children(store.project, Task)
        assert await store.count_runs(task, RunQuery()) == 1
        for save in (
            lambda: store.save(task.replace(name="Other")),
            lambda: store.save(_run("new"), parent=task),
            lambda: store.delete(task),
        ):
            with pytest.raises(WriteError, match="read-only"):
                await save()


async def test_a_strangers_journal_on_a_read_only_disk_stops_no_reading(
    disk: Path, tmp_path: Path
) -> None:
    folder = disk / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "a") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
    (folder / ".trash" / "pending" / "evil.json").write_bytes(b"{}")
    before = _contents(folder)
    _mount("-o", "remount,ro", disk)
    async with await ProjectStore.open(folder, home=tmp_path / "b") as store:
        assert [one.id for one in await store.children(store.project, Task)] == [task.id]
        with pytest.raises(WriteError, match="Nothing has been changed"):
            await store.save(task.replace(name="Other"))
    assert _contents(folder) == before


async def test_what_vanishes_under_an_open_store_is_said_and_stays_away(tmp_path: Path) -> None:
    folder, home = tmp_path / "p", tmp_path / "home"
    async with await ProjectStore.create(folder, Project(name="P"), home=home) as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        gone = await store.save(_run("gone"), parent=task)
        kept = await store.save(_run("kept"), parent=task)
        rmtree(_file(folder, gone).parent)
        with pytest.raises(StaleRevision, match="was removed"):
            await store.save(gone.replace(tags=("x",)))
        assert [run.id for run in await store.children(task, TaskRun)] == [kept.id]
        rmtree(_file(folder, task).parent)
        assert await store.children(store.project, Task) == []


async def test_the_homes_of_several_people_keep_each_other_out(tmp_path: Path) -> None:
    project = tmp_path / "p"
    project.mkdir()
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, project, tmp_path / "hers", stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await holder.stdout.readline() == b"held\n"
        mine = ProjectLock(project, tmp_path / "mine", longest_wait_s=0.05)
        with pytest.raises(ProjectBusy, match="Another process"), mine.hold():
            pass
    finally:
        holder.kill()
        await holder.wait()
    with mine.hold(), mine.hold():
        pass


async def test_who_was_faster_is_the_colleague_whose_commit_came_in(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        file = _file(folder, task)
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace('"I"', '"Theirs"'), encoding="utf-8")
        git = Git(folder)
        git.run("init", "-q")
        git.run("add", "-A")
        git.run("-c", "user.name=Ana", "-c", "user.email=a@b", "commit", "-q", "-m", "Theirs")
        with pytest.raises(StaleRevision, match="Ana"):
            await store.save(task.replace(instruction="Mine"))


async def test_a_link_out_of_the_project_is_reported_and_not_followed(tmp_path: Path) -> None:
    async with await ProjectStore.create(
        tmp_path / "other", Project(name="Other"), home=tmp_path / "h"
    ) as other:
        outside = await other.save(Task(name="Outside", instruction="I"), parent=other.project)
        run = await other.save(_run("outside"), parent=outside)
        file = _file(other.folder, run)
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        kept = await store.save(_run("kept"), parent=task)
        runs = _file(folder, kept).parents[1]
        (runs / "4").mkdir()
        (runs / "4" / "task_run.kiln").symlink_to(file)
        (runs / "5").symlink_to(file.parent)
        assert await store.children(task, TaskRun) == [kept]
        assert await store.count_runs(task, RunQuery()) == 1
        reasons = {problem.path.rpartition("/runs/")[2]: problem for problem in store.problems}
        assert reasons.keys() == {"4/task_run.kiln", "5/task_run.kiln"}
        assert all("link" in problem.reason for problem in store.problems)
    rmtree(folder / "tasks")
    (folder / "tasks").symlink_to(tmp_path / "other" / "tasks")
    async with await ProjectStore.open(folder, home=tmp_path / "h") as store:
        assert await store.children(store.project, Task) == []
        assert [problem.path for problem in store.problems] == ["tasks"]


async def test_an_id_that_is_a_path_makes_a_record_unusable(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        run = await store.save(_run("x"), parent=task)
        file = _file(folder, run)
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(run.id, "../../etc", 1), encoding="utf-8")
        assert await store.children(task, TaskRun) == []
        assert [problem.path for problem in store.problems] == [run.saved.path]


async def test_a_broken_record_is_named_with_its_fault_and_found_once_it_is_mended(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        run = await store.save(_run("x"), parent=task)
        file = _file(folder, run)
        text = file.read_text(encoding="utf-8")
        file.write_text("{broken", encoding="utf-8")
        await store.refresh()
        with pytest.raises(CorruptRecord, match="it is no JSON"):
            await store.get(TaskRun, run.id)
        file.write_text(text, encoding="utf-8")
        assert (await store.get(TaskRun, run.id)).input == "x"
