"""What a process that was killed left half, and what others wrote before anybody settled it."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.atomic_write import UNFINISHED
from storage.commits.commit_log import CommitLog
from storage.commits.seal import JournalSeal
from storage.commits.write_ahead import FileEdit, Move, PendingChange
from storage.errors import UnsafePath
from storage.format.record_text import revision_of
from storage.git.git import Git

_WORKER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import StaleRevision

async def work(folder, home, name):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        (task,) = await store.children(store.project, Task)
        number = 0
        while True:
            number += 1
            tag = f"{name}-{number}"
            runs = [run for run in await store.children(task, TaskRun) if run.input == "shared"]
            try:
                if number % 2:
                    async with store.transaction() as change:
                        for run in runs:
                            change.save(run.replace(tags=(*run.tags, tag)))
                else:
                    run = TaskRun(input=tag, output=TaskOutput(output="o"))
                    await store.save(run, parent=task)
            except StaleRevision:
                continue
            print(tag, flush=True)

asyncio.run(work(*sys.argv[1:]))
"""
_RUNS = 3


async def _project(folder: Path, home: Path) -> list[str]:
    """Make a project with a few runs, and return their files."""
    async with await ProjectStore.create(folder, Project(name="P"), home=home) as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        saved = [
            await store.save(TaskRun(input="shared", output=TaskOutput(output="o")), parent=task)
            for _ in range(_RUNS)
        ]
    return [run.saved.path for run in saved]


def _content(folder: Path, path: str, tag: str) -> bytes:
    return (folder / path).read_bytes().replace(b'"tags": []', f'"tags": ["{tag}"]'.encode())


def _die(folder: Path, paths: Sequence[str], written: int, moves: Sequence[Move] = ()) -> None:
    """Leave what a process leaves that dies when it has put some of its files in place."""
    held = [(folder / path).read_bytes() for path in paths]
    edits = [
        FileEdit(path, _content(folder, path, "dead"), revision_of(was))
        for path, was in zip(paths, held, strict=True)
    ]
    pending = folder / ".trash" / "pending"
    text = PendingChange(edits, moves, held).text()
    (pending / "dead.json").write_bytes(JournalSeal(folder.parent / "state").mark(text))
    for edit in edits[:written]:
        (folder / edit.path).write_bytes(edit.content)
    for edit in edits[written:]:
        (pending / f".{Path(edit.path).name}.12345678.new").write_bytes(edit.content)


def _edit(folder: Path, path: str) -> bytes:
    """Change a file as another program does."""
    data = json.loads((folder / path).read_bytes())
    content = json.dumps(data | {"tags": [*data["tags"], "kiln"]}, indent=2).encode()
    (folder / path).write_bytes(content)
    return content


async def _open(folder: Path, home: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the problems of a project, and the tags of its runs."""
    async with await ProjectStore.open(folder, home=home) as store:
        (task,) = await store.children(store.project, Task)
        tags = sorted(run.tags for run in await store.children(task, TaskRun))
        return [problem.path for problem in await store.unreadable()], tags


def _pending(folder: Path) -> list[Path]:
    return list((folder / ".trash" / "pending").iterdir())


@pytest.mark.parametrize("written", range(_RUNS + 1))
async def test_another_home_carries_on_what_a_dead_process_began(
    tmp_path: Path, written: int
) -> None:
    folder = tmp_path / "p"
    _die(folder, await _project(folder, tmp_path / "hers"), written)
    assert await _open(folder, tmp_path / "mine") == ([], [("dead",)] * _RUNS)
    assert _pending(folder) == []


@pytest.mark.parametrize("written", range(_RUNS + 1))
async def test_newer_work_of_another_program_stays_and_what_was_begun_is_kept_and_named(
    tmp_path: Path, written: int
) -> None:
    folder = tmp_path / "p"
    paths = await _project(folder, tmp_path / "h")
    _die(folder, paths, written)
    edited = {path: _edit(folder, path) for path in paths}
    (kept,), _ = await _open(folder, tmp_path / "h")
    assert {path: (folder / path).read_bytes() for path in paths} == edited
    assert all(b"dead" in (folder / kept / path).read_bytes() for path in paths)
    assert _pending(folder) == []
    async with await ProjectStore.open(folder, home=tmp_path / "h") as store:
        await store.empty_trash()
        assert await store.unreadable() == []


async def test_what_was_begun_is_taken_back_where_one_of_its_files_is_newer(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "p"
    paths = await _project(folder, tmp_path / "h")
    _die(folder, paths, 1)
    _edit(folder, paths[1])
    (kept,), tags = await _open(folder, tmp_path / "h")
    assert tags == [(), (), ("kiln",)]
    assert [(folder / kept / path).is_file() for path in paths] == [True] * _RUNS


async def test_what_was_written_whole_stays_whole_though_one_of_its_files_is_newer(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "p"
    paths = await _project(folder, tmp_path / "h")
    _die(folder, paths, _RUNS)
    _edit(folder, paths[0])
    (kept,), tags = await _open(folder, tmp_path / "h")
    assert tags == [("dead",), ("dead",), ("dead", "kiln")]
    assert [(folder / kept / path).is_file() for path in paths] == [True, False, False]


@pytest.mark.parametrize("is_edited", [True, False])
async def test_what_is_newer_is_not_moved_away(tmp_path: Path, *, is_edited: bool) -> None:
    folder = tmp_path / "p"
    first, second, _ = await _project(folder, tmp_path / "h")
    place = str(Path(second).parent)
    _die(folder, [first], 1, [Move(place, ".trash/received/x")])
    if is_edited:
        _edit(folder, second)
    _, tags = await _open(folder, tmp_path / "h")
    assert tags == ([(), (), ("kiln",)] if is_edited else [(), ("dead",)])


async def test_a_journal_of_a_former_version_in_a_home_is_settled(tmp_path: Path) -> None:
    folder, state = tmp_path / "p", tmp_path / "state"
    paths = await _project(folder, tmp_path / "h")
    _die(folder, paths, 1)
    held = (folder / ".trash/pending/dead.json").read_bytes()
    journal = json.loads(held.partition(b"\n")[2])
    (folder / ".trash/pending/dead.json").unlink()
    journal["edits"] = [entry[:3] for entry in journal["edits"]]
    (state / "pending").mkdir(parents=True)
    (state / "pending" / "dead.json").write_text(json.dumps(journal), encoding="utf-8")
    assert CommitLog(folder, state).recover() == 1
    assert list((state / "pending").iterdir()) == []
    assert (await _open(folder, tmp_path / "h"))[1] == [("dead",)] * _RUNS


async def test_a_journal_that_would_leave_the_project_is_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    await _project(folder, tmp_path / "h")
    evil = PendingChange([FileEdit("../evil", b"x", None)], [], [None])
    (folder / ".trash/pending").mkdir(parents=True, exist_ok=True)
    (folder / ".trash/pending/evil.json").write_bytes(
        JournalSeal(folder.parent / "state").mark(evil.text())
    )
    (kept,), _ = await _open(folder, tmp_path / "h")
    assert not (tmp_path / "evil").exists()
    assert kept.startswith(".trash/foreign/evil.")
    assert _pending(folder) == []


async def test_a_link_in_place_of_what_is_under_way_is_not_followed(tmp_path: Path) -> None:
    folder, mine = tmp_path / "p", tmp_path / "mine"
    await _project(folder, tmp_path / "h")
    mine.mkdir()
    (mine / "data.json").write_text("{}", encoding="utf-8")
    (folder / ".trash/pending").rmdir()
    (folder / ".trash/pending").symlink_to(mine)
    async with await ProjectStore.open(folder, home=tmp_path / "h") as store:
        with pytest.raises(UnsafePath):
            await store.save(Task(name="U", instruction="I"), parent=store.project)
    assert [file.name for file in mine.iterdir()] == ["data.json"]


async def test_git_sees_nothing_of_what_is_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    _die(folder, await _project(folder, tmp_path / "h"), 1)
    git = Git(folder)
    git.run("init", "-q")
    assert not [
        path
        for path in git.lines("ls-files", "-o", "-z", "--exclude-standard")
        if path.startswith(".") and path != ".gitattributes"
    ]


@pytest.mark.slow
async def test_of_several_homes_that_are_killed_none_loses_or_halves_a_change(
    tmp_path: Path,
) -> None:
    folder, chance = tmp_path / "p", random.Random(5)
    await _project(folder, tmp_path / "h0")
    told: set[str] = set()

    async def work_and_be_killed(number: int) -> None:
        for life in range(int(os.environ.get("KILL_ROUNDS", "5"))):
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WORKER, folder, tmp_path / f"h{number}"),
                f"w{number}-{life}",
                stdout=subprocess.PIPE,
            )
            assert worker.stdout is not None
            for _ in range(chance.randrange(1, 6)):
                told.add((await worker.stdout.readline()).decode().strip())
            await asyncio.sleep(chance.random() * 0.05)  # the kill falls anywhere in a change
            worker.send_signal(signal.SIGKILL)
            rest = (await worker.stdout.read()).decode()
            told.update(rest.rpartition("\n")[0].splitlines())
            await worker.wait()

    async with asyncio.timeout(100):
        await asyncio.gather(*map(work_and_be_killed, range(3)))
    async with await ProjectStore.open(folder, home=tmp_path / "h0") as store:
        (task,) = await store.children(store.project, Task)
        runs = await store.children(task, TaskRun)
        assert await store.unreadable() == []
    tags = Counter(tag for run in runs for tag in run.tags)
    assert set(tags.values()) == {_RUNS}
    assert told <= {*tags, *(run.input for run in runs)}
    assert not [file for file in folder.rglob("*") if UNFINISHED.fullmatch(file.name)]
