"""The others share a file where one lies here that was never sent."""

import shutil

import pytest

from storage import ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.sync import Sharing
from storage.errors import Refusal
from storage.git.git import Git


async def _share_by_hand(store: ProjectStore, path: str, text: str) -> None:
    file = store.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    Git(store.folder).run("add", "-f", path)
    person = ("-c", "user.name=x", "-c", "user.email=x@y")
    Git(store.folder).run(*person, "commit", "-q", "-m", "By hand")
    await Sharing(store).sync()


async def _new_run(store: ProjectStore) -> TaskRun:
    (task,) = await store.children(store.project, Task)
    run = TaskRun(input="new", output=TaskOutput(output="o"), tags=("a",))
    return await store.save(run, parent=task)


async def test_a_file_that_is_no_part_of_the_project_is_neither_replaced_nor_sent(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await _share_by_hand(ana, ".env", "KEY=anas\n")
    (ben.folder / ".env").write_text("KEY=bens\n", encoding="utf-8")
    await _new_run(ben)
    for _ in range(2):
        with pytest.raises(Refusal, match=r"'.env'.*Rename or move it"):
            await Sharing(ben).sync()
        assert (ben.folder / ".env").read_text(encoding="utf-8") == "KEY=bens\n"
    (ben.folder / ".env").rename(ben.folder / ".env.ben")
    assert (await Sharing(ben).sync()).is_sent
    assert "KEY=bens" not in Git(ben.folder).text("log", "-p")


async def test_the_same_file_is_not_in_the_way(ana: ProjectStore, ben: ProjectStore) -> None:
    await _share_by_hand(ana, "notes.txt", "Same.\n")
    (ben.folder / "notes.txt").write_text("Same.\n", encoding="utf-8")
    assert (await Sharing(ben).sync()).is_sent


async def test_a_folder_or_a_file_that_stands_where_others_have_the_other_is_named(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await _share_by_hand(ana, "notes", "A file.\n")
    await _share_by_hand(ana, "more/inside", "A file.\n")
    (ben.folder / "notes").mkdir()
    (ben.folder / "more").write_text("mine", encoding="utf-8")
    with pytest.raises(Refusal, match="'more'"):
        await Sharing(ben).sync()
    (ben.folder / "more").unlink()
    with pytest.raises(Refusal, match="'notes'"):
        await Sharing(ben).sync()
    (ben.folder / "notes").rmdir()
    assert (await Sharing(ben).sync()).is_sent


async def test_a_record_of_both_is_merged(ana: ProjectStore, ben: ProjectStore) -> None:
    run = await _new_run(ana)
    folder = ana.side_folder(run)
    shutil.copytree(folder, ben.folder / folder.relative_to(ana.folder))
    (task,) = await ben.children(ben.project, Task)
    theirs = next(r for r in await ben.children(task, TaskRun) if r.id == run.id)
    await ben.save(theirs.replace(tags=("a", "bens")))
    await ana.save(run.replace(tags=("a", "anas")))
    await Sharing(ana).sync()
    report = await Sharing(ben).sync()
    assert report.is_sent
    assert report.conflicts == ()
    merged = next(r for r in await ben.children(task, TaskRun) if r.id == run.id)
    assert set(merged.tags) == {"a", "anas", "bens"}


async def test_a_file_beside_a_record_that_only_the_others_have_is_kept_with_theirs(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    run = await _new_run(ana)
    beside = ana.side_folder(run) / "picture.txt"
    beside.write_text("Ana's\n", encoding="utf-8")
    mine = ben.folder / beside.relative_to(ana.folder)
    mine.parent.mkdir(parents=True)
    mine.write_text("Ben's\n", encoding="utf-8")
    await Sharing(ana).sync()
    report = await Sharing(ben).sync()
    assert report.is_sent
    (question,) = report.conflicts
    assert "picture.txt" in question.text
    texts = {file.read_text("utf-8") for file in mine.parent.glob("*.txt")}
    assert texts == {"Ana's\n", "Ben's\n"}


async def test_a_file_that_git_is_told_to_ignore_is_not_sent_for_that(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    run = await _new_run(ana)
    beside = ana.side_folder(run) / "secret.txt"
    beside.write_text("Ana's\n", encoding="utf-8")
    await Sharing(ana).sync()
    (ben.folder / ".git" / "info").mkdir(exist_ok=True)
    (ben.folder / ".git" / "info" / "exclude").write_text("secret.txt\n", encoding="utf-8")
    mine = ben.folder / beside.relative_to(ana.folder)
    mine.parent.mkdir(parents=True)
    mine.write_text("Ben's\n", encoding="utf-8")
    with pytest.raises(Refusal, match="told to ignore"):
        await Sharing(ben).sync()
    assert mine.read_text(encoding="utf-8") == "Ben's\n"
