"""Keys and numbers that no record knows, in a record that two people changed."""

from pathlib import Path

import pytest

from storage import ProjectStore, Task, TaskRun
from storage.collaboration.sync import Sharing, fetch_project

_UNKNOWN = (
    '  "precise": 0.12345678901234567890123,\n  "whole": 1e2,\n'
    '  "deep": {"k": [1.0,  2E5], "u": "\\u00e9"},\n  "huge": 1e400,\n'
)


async def _run(store: ProjectStore) -> TaskRun:
    (task,) = await store.children(store.project, Task)
    (run,) = await store.children(task, TaskRun)
    return run


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("where", ['  "v": 1,\n', '  "input": "hi",\n'])
async def test_unknown_keys_keep_their_place_and_spelling_in_a_merge(
    ana: ProjectStore, hub: Path, tmp_path: Path, where: str
) -> None:
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as ben:
        run = await _run(ben)
        await ben.save(run.replace(tags=(*run.tags, "ben")))
        await Sharing(ben).sync()
        file = ana.folder / (await _run(ana)).saved.path
        _replace(file, where, where + _UNKNOWN)
        await Sharing(ana).sync()
        await Sharing(ben).sync()
        assert where + _UNKNOWN in file.read_text(encoding="utf-8")
        assert (await _run(ana)).tags == ("first", "ben")
        assert (ben.folder / run.saved.path).read_bytes() == file.read_bytes()
        _replace(file, "[1.0,  2E5]", "[1.0,  2E5, 3.10]")
        run = await _run(ben)
        await ben.save(run.replace(tags=(*run.tags, "again")))
        await Sharing(ben).sync()
        await Sharing(ana).sync()
        assert '"k": [1.0,  2E5, 3.10]' in file.read_text(encoding="utf-8")


async def test_a_record_that_cannot_be_merged_is_asked_about_and_the_rest_is_synced(
    ana: ProjectStore, hub: Path, tmp_path: Path
) -> None:
    await fetch_project(str(hub), tmp_path / "ben")
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as ben:
        for store, number in ((ana, "1e400"), (ben, "-1e400")):
            file = store.folder / (await _run(store)).saved.path
            _replace(file, '  "v": 1,\n', f'  "v": 1,\n  "huge": {number},\n')
            new = Task(name=f"T{number[0]}", instruction="i")
            await store.save(new, parent=store.project)
            await Sharing(store).sync()
        (question,) = await Sharing(ben).conflicts()
        assert question.path == (await _run_below(ben)).saved.path
        assert len(await ben.children(ben.project, Task)) == len(("Support", "T1", "T-"))
        assert await ben.unreadable() == []
        await Sharing(ben).decide(question.id, 1)
        await Sharing(ben).sync()
        await Sharing(ana).sync()
        for store in (ana, ben):
            text = (store.folder / question.path).read_text(encoding="utf-8")
            assert '"huge": -1e400' in text
            assert await Sharing(store).conflicts() == []


async def _run_below(store: ProjectStore) -> TaskRun:
    runs_by_task = [
        await store.children(t, TaskRun) for t in await store.children(store.project, Task)
    ]
    ((run,),) = [runs for runs in runs_by_task if runs]
    return run
