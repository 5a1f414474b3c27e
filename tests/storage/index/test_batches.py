"""An index that is built in many small batches says what one says that is built at once."""

import os
import shutil
import sqlite3
from pathlib import Path

import anyio
import pytest

from storage import Feedback, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.index.refresh import IndexBuilder

RUNS = 11
SMALL = 2


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project whose files are of times in another order than their folders."""
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        for number in range(RUNS):
            output = TaskOutput(output=f"out {number}")
            run = TaskRun(input=f"in {number}", output=output, tags=(f"t{number % 3}",))
            run = await store.save(run, parent=task)
            await store.save(Feedback(feedback="good", source="run-page"), parent=run)
            os.utime(folder / run.saved.path, ns=(number * 7 % RUNS, number * 7 % RUNS))
    return folder


def content(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of an index by table; rows get numbers in any order."""
    with sqlite3.connect(file) as connection:
        rows = {
            "records": "SELECT path, parent, kind, changed_ns, problem, copy_of FROM records",
            "facets": "SELECT path, facet FROM facets JOIN records USING (row)",
            "texts": "SELECT path, input, output FROM texts JOIN records ON row = texts.rowid",
        }
        answers = {
            table: sorted(connection.execute(text), key=repr) for table, text in rows.items()
        }
    connection.close()
    return answers


async def _folders(project: Path) -> list[Path]:
    return [Path(run) async for run in anyio.Path(project).glob("tasks/*/runs/*")]


def build(project: Path, file: Path, batch_size: int) -> tuple[IndexBuilder, list[int]]:
    counts: list[int] = []
    builder = IndexBuilder(project, file, batch_size)
    builder.refresh(counts.append)
    return builder, counts


async def test_small_batches_make_the_same_index(project: Path, tmp_path: Path) -> None:
    small, counts = await anyio.to_thread.run_sync(build, project, tmp_path / "small", SMALL)
    large, none = await anyio.to_thread.run_sync(build, project, tmp_path / "large", 1000)
    assert counts[:2] == [SMALL, 2 * SMALL]
    assert len(counts) == (2 + 2 * RUNS) // SMALL
    assert none == []
    assert content(tmp_path / "small") == content(tmp_path / "large")
    assert len(content(tmp_path / "small")["records"]) == 2 + 2 * RUNS
    small.close()
    large.close()


async def test_small_batches_forget_what_went_away_and_keep_copies_out(
    project: Path, tmp_path: Path
) -> None:
    small, _ = await anyio.to_thread.run_sync(build, project, tmp_path / "small", SMALL)
    runs = sorted(await _folders(project))
    for run in runs[:5]:
        shutil.rmtree(run)
    for run in runs[5:8]:
        shutil.copytree(run, run.with_name(f"{run.name} (copy)"))
    result = await anyio.to_thread.run_sync(small.refresh)
    assert result.removed == 10
    large, _ = await anyio.to_thread.run_sync(build, project, tmp_path / "large", 1000)
    assert content(tmp_path / "small") == content(tmp_path / "large")
    small.close()
    large.close()


async def test_a_build_that_fails_in_the_middle_goes_on_from_there(
    project: Path, tmp_path: Path
) -> None:
    def stop(read: int) -> None:
        raise InterruptedError(read)

    builder = IndexBuilder(project, tmp_path / "small", SMALL)
    with pytest.raises(InterruptedError):
        await anyio.to_thread.run_sync(builder.refresh, stop)
    result = await anyio.to_thread.run_sync(builder.refresh)
    assert result.changed == 2 + 2 * RUNS - SMALL
    builder.close()
