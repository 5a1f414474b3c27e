"""One takes all that there is out of a folder and puts something else in."""

import pytest

from storage import (
    Feedback,
    ProjectStore,
    Skill,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.collaboration.sync import UNSYNCED, Sharing
from storage.git.git import Git


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


async def _runs(store: ProjectStore) -> list[TaskRun]:
    return await store.children(await _task(store), TaskRun)


def _new(text: str) -> TaskRun:
    return TaskRun(input=text, output=TaskOutput(output="out"))


def _files(store: ProjectStore) -> dict[str, bytes]:
    return {
        file.relative_to(store.folder).as_posix(): file.read_bytes()
        for file in store.folder.rglob("*")
        if file.is_file() and file.relative_to(store.folder).parts[0] not in {".git", ".trash"}
    }


async def _all_have(files: dict[str, bytes], *stores: ProjectStore) -> None:
    """Check that everybody has these files, and that nobody thinks of having changed any."""
    for store in stores:
        report = await Sharing(store).sync()
        assert (report.outgoing, report.is_sent) == ("", True)
        assert _files(store) == files
        assert Git(store.folder).text("status", "--porcelain") == ""


async def test_runs_that_come_when_all_others_go_are_there_for_everybody(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    (old,) = await _runs(ben)
    await ben.delete(old)
    for text in ("new 1", "new 2"):
        await ben.save(_new(text), parent=await _task(ben))
    await Sharing(ben).sync()
    expected = _files(ben)
    assert (await Sharing(ana).sync()).incoming == "Add 2 runs, delete 1 run"
    assert {run.input for run in await _runs(ana)} == {"new 1", "new 2"}
    await _all_have(expected, ana, ben, ana)


async def test_a_task_that_comes_when_the_only_one_goes_is_there_with_all_below_it(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    other = await ben.save(Task(name="New", instruction="i"), parent=ben.project)
    run = await ben.save(_new("in the new"), parent=other)
    await ben.save(Feedback(feedback="Good.", source="run-page"), parent=run)
    removal = next(t for t in await ben.children(ben.project, Task) if t.name == "Support")
    folder = removal.saved.path.rpartition("/")[0]
    await ben.delete(removal)
    await Sharing(ben).sync()
    expected = _files(ben)
    await Sharing(ana).sync()
    await _all_have(expected, ana, ben)
    assert not (ana.folder / folder).exists()


async def test_files_that_come_beside_a_record_when_all_others_there_go_stay(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    skill = await ana.save(Skill(name="look-up", description="d"), parent=ana.project)
    (ana.side_folder(skill) / "references").mkdir()
    (ana.side_folder(skill) / "references" / "old.md").write_text("Old.\n", encoding="utf-8")
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    (ben.side_folder(skill) / "references" / "old.md").unlink()
    (ben.side_folder(skill) / "references" / "new.md").write_text("New.\n", encoding="utf-8")
    await Sharing(ben).sync()
    expected = _files(ben)
    await Sharing(ana).sync()
    await _all_have(expected, ana, ben)


async def test_what_is_not_shared_stays_where_all_else_goes(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await ben.delete(await _task(ben))
    await Sharing(ben).sync()
    secret = ana.side_folder(await _task(ana)) / ".env"
    secret.write_text("mine", encoding="utf-8")
    await Sharing(ana).sync()
    own_files = {"project.kiln", ".gitattributes"}
    assert set(_files(ana)) == {*own_files, secret.relative_to(ana.folder).as_posix()}


async def test_what_comes_while_the_last_of_its_folder_is_deleted_here_stays(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    (old,) = await _runs(ana)
    await ana.delete(old)
    await ben.save(_new("new"), parent=await _task(ben))
    await Sharing(ben).sync()
    await Sharing(ana).sync()
    await Sharing(ben).sync()
    for store in (ana, ben):
        assert [run.input for run in await _runs(store)] == ["new"]
    await _all_have(_files(ana), ana, ben)


async def test_a_question_that_is_asked_again_when_no_other_is_open_is_asked_of_everybody(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await ana.save(_new("second"), parent=await _task(ana))
    for store in (ana, ben):
        await Sharing(store).sync()
    for store, stars in ((ana, 5), (ben, 2)):
        for run in await _runs(store):
            rating = TaskOutputRating(value=stars)
            await store.save(run.replace(output=run.output.replace(rating=rating)))
        await Sharing(store).sync()
    await Sharing(ana).sync()
    first, second = await Sharing(ana).conflicts()
    for question in (first, second):
        await Sharing(ana).decide(question.id, 0)
    await Sharing(ben).decide(first.id, 1)
    for store in (ana, ben):
        await Sharing(store).sync()
    assert [conflict.id for conflict in await Sharing(ben).conflicts()] == [first.id]
    expected = _files(ben)
    await Sharing(ana).sync()
    await _all_have(expected, ana, ben)
    assert [conflict.id for conflict in await Sharing(ana).conflicts()] == [first.id]


@pytest.mark.parametrize("is_synced", [True, False])
async def test_an_exchange_of_all_in_a_folder_is_undone(ana: ProjectStore, is_synced: bool) -> None:
    previous = _files(ana)
    await ana.delete(await _task(ana))
    other = await ana.save(Task(name="New", instruction="i"), parent=ana.project)
    await ana.save(_new("new"), parent=other)
    change = UNSYNCED
    if is_synced:
        await Sharing(ana).sync()
        change = (await Sharing(ana).history()).entries[0].change
    after = _files(ana)
    await Sharing(ana).undo(change)
    assert _files(ana) == previous
    await Sharing(ana).sync()
    await Sharing(ana).undo((await Sharing(ana).history()).entries[0].change)
    assert _files(ana) == after
