"""One deletes a record while another changes something in it."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

import pytest

from storage import (
    Eval,
    Feedback,
    ProjectStore,
    Skill,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
)
from storage.collaboration.conflicts import Conflict
from storage.collaboration.sync import Sharing
from storage.errors import Refusal


class EveryKind(Protocol):
    """A project with a record of every kind."""

    @property
    def folder(self) -> Path: ...


@pytest.fixture
async def ana(tmp_path: Path, hub: Path, every_kind: EveryKind) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.open(every_kind.folder, home=tmp_path / "h1") as store:
        task = await _task(store)
        run = TaskRun(input="other", output=TaskOutput(output="one"))
        await store.save(run, parent=task)
        await Sharing(store).share(str(hub))
        await Sharing(store).sync()
        yield store


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


async def _run(store: ProjectStore) -> TaskRun:
    """Return the run that has feedback and a review below it."""
    runs = await store.children(await _task(store), TaskRun)
    return next(run for run in runs if run.input == "in")


async def _rate(store: ProjectStore) -> None:
    run = await _run(store)
    await store.save(run.replace(output=run.output.replace(rating=TaskOutputRating(value=2))))


def _files(store: ProjectStore) -> dict[str, bytes]:
    return {
        path: file.read_bytes()
        for file in store.folder.rglob("*")
        if file.is_file()
        and (path := file.relative_to(store.folder).as_posix()).split("/")[0]
        not in {".git", ".trash", "questions"}
    }


async def _sync(*stores: ProjectStore) -> list[Conflict]:
    conflicts: tuple[Conflict, ...] = ()
    for store in stores:
        conflicts = (await Sharing(store).sync()).conflicts
    return list(conflicts)


async def _answer(store: ProjectStore, question: Conflict, *, keep: bool) -> None:
    number = next(i for i, c in enumerate(question.choices) if c.absent != keep)
    await Sharing(store).decide(question.id, number)


@pytest.mark.parametrize("deleter_is_first", [True, False])
@pytest.mark.parametrize("keep", [True, False])
async def test_a_task_that_one_deleted_and_another_changed_inside_is_kept_whole_until_decided(
    ana: ProjectStore, ben: ProjectStore, deleter_is_first: bool, keep: bool
) -> None:
    await _rate(ben)
    expected = _files(ben)
    task = await _task(ana)
    other = (await ana.children(ana.project, Skill))[0]
    removal = await ana.delete(other)
    await ana.delete(task)
    people = (ana, ben) if deleter_is_first else (ben, ana)
    await _sync(*people)
    for store in (*people, *people):
        (question,) = await _sync(store)
        assert question.path == task.saved.path
        assert question.text == "the task 'Täsk': one deleted it and another changed it. Keep it?"
        deleting, keeping = sorted(question.options)
        assert re.fullmatch(r"delete it \(.+ UTC\)", deleting)
        assert keeping == "keep it"
    all_files = {
        path: content for path, content in expected.items() if not path.startswith(removal.folder)
    }
    assert all_files == _files(ana) == _files(ben)
    (question,) = await Sharing(ben).conflicts()
    await _answer(ben, question, keep=keep)
    remaining_files = (
        all_files if keep else {p: h for p, h in all_files.items() if not p.startswith("tasks/")}
    )
    assert await _sync(ben, ana, ben) == []
    assert remaining_files == _files(ana) == _files(ben)
    if not keep:
        entry = (await ben.trash())[0]
        await ben.restore(entry.key)
        assert _files(ben) == all_files


async def test_a_run_that_one_deleted_and_another_commented_on_keeps_all_below_it(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    run = await _run(ben)
    await ben.save(Feedback(feedback="More.", source="run-page"), parent=run)
    expected = _files(ben)
    deleted = await ana.delete(await _run(ana))
    (question,) = await _sync(ana, ben, ana)
    assert question.path == run.saved.path
    assert expected == _files(ana) == _files(ben)
    with pytest.raises(Refusal, match="somebody else kept it"):
        await ana.restore(deleted.key)


async def test_a_deletion_of_what_nobody_changed_goes_through(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await _rate(ben)
    deleted = (await ana.children(await _task(ana), Eval))[0]
    await ana.delete(deleted)
    expected = {p: h for p, h in _files(ben).items() if not p.startswith(f"{_folder(deleted)}/")}
    assert await _sync(ana, ben, ana) == []
    assert expected == _files(ana) == _files(ben)


async def test_what_both_deleted_is_gone_though_one_deleted_more(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await ana.delete(await _task(ana))
    await ben.delete(await _run(ben))
    assert await _sync(ana, ben, ana) == []
    assert not (ben.folder / "tasks").exists()
    assert _files(ana) == _files(ben)


async def test_two_versions_of_a_file_beside_a_record_are_asked_about_until_decided(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, text in ((ana, "Ana's\n"), (ben, "Ben's\n")):
        (skill,) = await store.children(store.project, Skill)
        (store.side_folder(skill) / "SKILL.md").write_text(text, encoding="utf-8")
    (skill,) = await ana.children(ana.project, Skill)
    await _sync(ana, ben)
    for store in (ana, ben, ana):
        (question,) = await _sync(store)
        assert question.text.startswith("the skill 'my-skill': two people changed SKILL.md. Keep")
        assert len(list(store.side_folder(skill).glob("*.md"))) == 2
    assert question.other is not None
    other = (ana.folder / question.other).read_text(encoding="utf-8")
    await Sharing(ana).decide(question.id, 1)
    assert await _sync(ana, ben) == []
    for store in (ana, ben):
        (file,) = store.side_folder(skill).glob("*.md")
        assert (file.name, file.read_text(encoding="utf-8")) == ("SKILL.md", other)


@pytest.mark.parametrize("keeper_is_first", [True, False])
async def test_of_keeping_and_deleting_answered_apart_keeping_wins_and_is_asked_again(
    ana: ProjectStore, ben: ProjectStore, keeper_is_first: bool
) -> None:
    await _rate(ben)
    await ana.delete(await _run(ana))
    (question,) = await _sync(ana, ben, ana)
    expected = _files(ben)
    await _answer(ana, question, keep=True)
    await _answer(ben, question, keep=False)
    people = (ana, ben) if keeper_is_first else (ben, ana)
    (next_question,) = await _sync(*people, *people)
    # Who deletes by an answer does so later than who deleted first.
    assert next_question.model_copy(update={"authors": question.authors}) == question
    assert expected == _files(ana) == _files(ben)
    await _answer(ben, question, keep=False)
    assert await _sync(ben, ana) == []
    assert await ben.children(await _task(ben), TaskRun) == await _runs_elsewhere(ana)


async def test_what_one_keeps_by_an_answer_and_another_deletes_unasked_stays(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    await _rate(ben)
    await ana.delete(await _run(ana))
    (question,) = await _sync(ana, ben, ana)
    expected = _files(ben)
    await _answer(ben, question, keep=True)
    await ana.delete(await _task(ana))
    (next_question,) = await _sync(ben, ana, ben)
    assert next_question.text.startswith("the task")
    assert expected == _files(ana) == _files(ben)


@pytest.mark.parametrize("chooser_of_the_new_is_first", [True, False])
async def test_of_two_values_chosen_apart_neither_wins_without_a_word(
    ana: ProjectStore, ben: ProjectStore, chooser_of_the_new_is_first: bool
) -> None:
    for store, stars in ((ana, 1), (ben, 5)):
        run = await _run(store)
        output = run.output.replace(rating=TaskOutputRating(value=stars))
        await store.save(run.replace(output=output))
    (question,) = await _sync(ana, ben, ana)
    for store, number in ((ana, 0), (ben, 1)):
        await Sharing(store).decide(question.id, number)
    people = (ana, ben) if chooser_of_the_new_is_first else (ben, ana)
    (next_question,) = await _sync(*people, *people)
    assert [choice.value for choice in next_question.choices] == [1.0, 5.0]
    await Sharing(ana).decide(next_question.id, 1)
    assert await _sync(ana, ben) == []
    assert _files(ana) == _files(ben)


async def test_two_versions_of_a_file_chosen_apart_are_asked_about_again(
    ana: ProjectStore, ben: ProjectStore
) -> None:
    for store, text in ((ana, "Ana's\n"), (ben, "Ben's\n")):
        (skill,) = await store.children(store.project, Skill)
        (store.side_folder(skill) / "SKILL.md").write_text(text, encoding="utf-8")
    (question,) = await _sync(ana, ben, ana)
    for store, number in ((ana, 0), (ben, 1)):
        await Sharing(store).decide(question.id, number)
    await _sync(ana, ben, ana)
    assert _files(ana) == _files(ben)
    for store in (ana, ben):
        (skill,) = await store.children(store.project, Skill)
        texts = {file.read_text("utf-8") for file in store.side_folder(skill).glob("*.md")}
        assert texts == {"Ana's\n", "Ben's\n"}
        assert len(await Sharing(store).conflicts()) == 1


async def _runs_elsewhere(store: ProjectStore) -> list[TaskRun]:
    return await store.children(await _task(store), TaskRun)


def _folder(record: Eval) -> str:
    return record.saved.path.rpartition("/")[0]
