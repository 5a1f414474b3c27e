"""Items that are saved from a table by the thousand."""

import json
import subprocess
import sys
import tracemalloc
from contextlib import aclosing
from pathlib import Path

import pytest

from storage import Feedback, Project, ProjectStore, Task, TaskRun
from storage.exchange import open_source, save_items
from storage.exchange.examples import AnswerRecord, Example
from storage.exchange.item_records import RecordMaker
from storage.new_records import text_of
from table_items import item_table, origin_of

_WORKER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore, Task
from storage.exchange import open_source, save_items
from table_items import item_table

async def work(folder, home, table):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        (task,) = await store.children(store.project, Task)
        with open_source(Path(table)) as source:
            async for saved in save_items(store, task, item_table(source, task)):
                print(saved.new_items, flush=True)

asyncio.run(work(*sys.argv[1:]))
"""


def _table(folder: Path, rows: int, text: str = "") -> Path:
    table = folder / "rows.jsonl"
    lines = [
        {"input": f"Question {row}? {text}", "output": f"Answer {row}."} for row in range(rows)
    ]
    table.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return table


async def _new_project(folder: Path) -> None:
    async with await ProjectStore.create(
        folder / "p", Project(name="P"), home=folder / "home"
    ) as store:
        await store.save(Task(name="T", instruction="I"), parent=store.project)


async def _save(store: ProjectStore, table: Path) -> tuple[int, int]:
    (task,) = await store.children(store.project, Task)
    new_runs = repeats = 0
    with open_source(table) as source:
        async with aclosing(save_items(store, task, item_table(source, task))) as batches:
            async for saved in batches:
                new_runs += saved.new_items
                repeats += saved.repeats
    return new_runs, repeats


@pytest.mark.slow
async def test_an_import_that_is_killed_leaves_whole_transactions_and_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    table = _table(tmp_path, 5500)
    await _new_project(tmp_path)
    command = [sys.executable, "-c", _WORKER]
    command += [str(tmp_path / "p"), str(tmp_path / "home"), str(table)]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2] / "fakes"), "PATH": ""}
    worker = subprocess.Popen(  # noqa: ASYNC220
        command, stdout=subprocess.PIPE, text=True, env=paths
    )
    assert worker.stdout is not None
    first = worker.stdout.readline()
    worker.kill()
    worker.wait(10)
    worker.stdout.close()
    assert first == "1000\n"
    async with await ProjectStore.open(tmp_path / "p", home=tmp_path / "home") as store:
        (task,) = await store.children(store.project, Task)
        kept = len(await store.children(task, TaskRun))
        assert kept % 1000 == 0
        assert 1000 <= kept < 5500
        assert await _save(store, table) == (5500 - kept, kept)
        inputs = [run.input for run in await store.children(task, TaskRun)]
        assert len(inputs) == len(set(inputs)) == 5500


async def test_two_rows_whose_ids_are_one_are_both_saved_and_once(tmp_path: Path) -> None:
    """A record of another input has a row's id: the row gets another id, always the same one."""
    await _new_project(tmp_path)
    table = _table(tmp_path, 3)
    async with await ProjectStore.open(tmp_path / "p", home=tmp_path / "home") as store:
        (task,) = await store.children(store.project, Task)
        assert await _save(store, table) == (3, 0)
        run = (await store.children(task, TaskRun))[0]
        file = tmp_path / "p" / run.saved.path
        file.write_text(file.read_text().replace(run.input, "Other"))
        assert await _save(store, table) == (1, 2)
        assert await _save(store, table) == (0, 3)


def test_rows_of_a_file_are_read_one_by_one(tmp_path: Path) -> None:
    table = _table(tmp_path, 2000, "long " * 1000)
    size = table.stat().st_size
    with open_source(table) as source:
        tracemalloc.start()
        count = sum(1 for _ in item_table(source, Task(name="T", instruction="I")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 2000
    assert peak < size / 5


async def test_what_people_wrote_of_an_answer_is_saved_below_its_run_once(tmp_path: Path) -> None:
    await _new_project(tmp_path)
    example = Example("a", answer="b", record=AnswerRecord("t1", "gpt", feedback=("wrong", "no")))
    async with await ProjectStore.open(tmp_path / "p", home=tmp_path / "home") as store:
        (task,) = await store.children(store.project, Task)
        maker = RecordMaker(task, origin_of("t.jsonl", b""))
        for _ in range(2):
            async for _ in save_items(store, task, [(1, maker.item(example, 1))]):
                pass
        (run,) = await store.children(task, TaskRun)
        words = {one.feedback for one in await store.children(run, Feedback)}
    assert words == {"wrong", "no"}
    assert run.output.source is not None
    assert run.output.source.properties["model_name"] == "gpt"


def test_a_record_is_spelled_as_all_others_are() -> None:
    maker = RecordMaker(Task(name="T", instruction="I"), origin_of("t.jsonl", b""))
    texts = ["a", 'é\x01\x7f\u2028"\\/\n', "\U0001f600"]
    for example in [*(Example(text, text, tags=("x",)) for text in texts), Example("alone")]:
        new = maker.item(example, 1).record
        assert new.content.decode() == text_of(new.record)
