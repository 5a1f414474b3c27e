"""History and undo, of every kind of record."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

import pytest

from storage import (
    Eval,
    EvalConfig,
    EvalOutputScore,
    ExactMatch,
    Project,
    ProjectStore,
    Prompt,
    Skill,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunSplit,
)
from storage.collaboration.sync import UNSYNCED, Sharing
from storage.errors import RecordNotFound, Refusal
from storage.format.layout import kind_named, place_named
from storage.git.git import Git


class EveryKind(Protocol):
    """A project with a record of every kind."""

    @property
    def folder(self) -> Path: ...


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="H"), home=tmp_path / "h") as store:
        await Sharing(store).share()
        await store.save(Task(name="T", instruction="One."), parent=store.project)
        await Sharing(store).sync()
        yield store


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


async def _save_eval(store: ProjectStore) -> Eval:
    score = EvalOutputScore(name="Right", instruction="Is it?", type="pass_fail")
    split = TaskRunSplit(source="task_run", filter_id="tag::test")
    new = Eval(
        name="Correct",
        output_scores=(score,),
        splits={"test": split},
        eval_configs_filter_id="tag::golden",
    )
    saved = await store.save(new, parent=await _task(store))
    judge = EvalConfig(name="Judge", config_type="v2", properties=ExactMatch(expected_value="x"))
    await store.save(judge, parent=saved)
    return saved


def _files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.relative_to(folder).parts[0] not in {".git", ".trash"}
    }


@pytest.mark.timeout(400)
@pytest.mark.slow
async def test_an_edit_an_addition_and_a_deletion_of_any_kind_are_undone(
    every_kind: EveryKind,
) -> None:
    folder = every_kind.folder
    kinds = {file.name for file in folder.rglob("*.kiln")} - {"project.kiln"}
    async with await ProjectStore.open(folder) as store:
        sharing = Sharing(store)
        await sharing.share()
        await sharing.sync()
        for name in sorted(kinds):
            path = next(p for p in _files(folder) if p.endswith(f"/{name}"))
            files = _files(folder)
            place = place_named(name)
            assert place is not None
            model = kind_named(place.record.type_name())
            record = await store.get(model, str(_id_of(files[path])))
            await store.save(record.replace(created_by="somebody else"))
            await sharing.sync()
            assert _files(folder) != files
            edit = (await sharing.history(path)).entries[0]
            assert [field.field for field in edit.fields] == ["created by"]
            await sharing.undo(edit.change, path)
            assert _files(folder) == files
            await sharing.sync()
            await store.delete(await store.get(model, record.id))
            await sharing.sync()
            assert path not in _files(folder)
            assert await sharing.deleted_path(model.type_name(), record.id) == path
            deleted = (await sharing.history(path)).entries[0]
            assert deleted.summary == "delete"
            await sharing.undo(deleted.change, path)
            assert _files(folder) == files
            await sharing.sync()
            addition = (await sharing.history(path)).entries[0]
            assert addition.summary == "add"
            await sharing.undo(addition.change, path)
            assert path not in _files(folder)
            latest = (await store.trash())[0]
            await store.restore(latest.key)
            assert _files(folder) == files
            await sharing.sync()


def _id_of(content: bytes) -> str:
    return content.split(b'"id": "', 1)[1].split(b'"', 1)[0].decode()


async def test_a_change_of_several_records_is_told_and_undone_as_one(store: ProjectStore) -> None:
    files = _files(store.folder)
    await _save_eval(store)
    await Sharing(store).sync()
    latest = (await Sharing(store).history()).entries[0]
    assert latest.summary == "Add the eval Correct, add the evaluator Judge"
    done = await Sharing(store).undo(latest.change)
    assert done == "Delete the eval Correct, delete the evaluator Judge"
    assert _files(store.folder) == files
    (entry,) = await store.trash()
    assert (entry.kind, entry.label) == ("eval", "Correct")
    await store.restore(entry.key)
    assert len(_files(store.folder)) == len(files) + 2


async def test_an_addition_that_others_built_on_is_not_undone(store: ProjectStore) -> None:
    saved = await _save_eval(store)
    await Sharing(store).sync()
    addition = (await Sharing(store).history()).entries[0]
    judge = EvalConfig(name="More", config_type="v2", properties=ExactMatch(expected_value="x"))
    later = await store.save(judge, parent=saved)
    with pytest.raises(Refusal, match="the eval Correct has had 1 files added below it"):
        await Sharing(store).undo(addition.change)
    await store.delete(later)
    await store.save(saved.replace(description="Changed."))
    with pytest.raises(Refusal, match="the eval Correct was changed after it was added"):
        await Sharing(store).undo(addition.change)


async def test_a_deletion_is_not_undone_where_what_it_lay_below_is_gone(
    store: ProjectStore,
) -> None:
    task = await _task(store)
    run = await store.save(TaskRun(input="a", output=TaskOutput(output="b")), parent=task)
    await Sharing(store).sync()
    await store.delete(run)
    await Sharing(store).sync()
    deleted = (await Sharing(store).history()).entries[0]
    await store.delete(task)
    await Sharing(store).sync()
    with pytest.raises(Refusal, match="lay below was deleted too"):
        await Sharing(store).undo(deleted.change)
    await Sharing(store).undo((await Sharing(store).history()).entries[0].change)
    await Sharing(store).undo(deleted.change)
    assert [record.id for record in await store.children(await _task(store), TaskRun)] == [run.id]


async def test_files_beside_a_record_come_and_go_with_it(store: ProjectStore) -> None:
    skill = await store.save(Skill(name="look-up", description="d"), parent=store.project)
    (store.side_folder(skill) / "SKILL.md").write_text("# How\n", encoding="utf-8")
    await Sharing(store).sync()
    files = _files(store.folder)
    (store.side_folder(skill) / "SKILL.md").write_text("# How not\n", encoding="utf-8")
    await Sharing(store).sync()
    await Sharing(store).undo((await Sharing(store).history()).entries[0].change)
    assert _files(store.folder) == files
    await Sharing(store).sync()
    await store.delete(skill)
    await store.empty_trash()
    await Sharing(store).sync()
    await Sharing(store).undo((await Sharing(store).history()).entries[0].change, skill.saved.path)
    assert _files(store.folder) == files


async def test_an_edit_of_a_file_beside_a_record_is_told_and_undone(store: ProjectStore) -> None:
    skill = await store.save(Skill(name="look-up", description="d"), parent=store.project)
    body = store.side_folder(skill) / "SKILL.md"
    body.write_text("# How\n", encoding="utf-8")
    await Sharing(store).sync()
    body.write_text("# How not\n", encoding="utf-8")
    assert (await Sharing(store).sync()).outgoing == "Change the skill look-up"
    changed, addition = (await Sharing(store).history(skill.saved.path)).entries
    assert (changed.summary, addition.summary) == ("change", "add")
    (field,) = changed.fields
    assert (field.field, field.old, field.new) == ("SKILL.md", "# How\n", "# How not\n")
    await Sharing(store).undo(changed.change, skill.saved.path)
    assert body.read_text(encoding="utf-8") == "# How\n"


async def test_what_is_not_synced_yet_is_undone_too_of_all_or_of_one_record(
    store: ProjectStore,
) -> None:
    task = await _task(store)
    prompt = await store.save(Prompt(name="Short", prompt="p"), parent=task)
    await Sharing(store).sync()
    with pytest.raises(Refusal, match="since the last sync"):
        await Sharing(store).undo(UNSYNCED)
    await store.save(task.replace(instruction="Other."))
    await store.save(prompt.replace(prompt="q"))
    await Sharing(store).undo(UNSYNCED, prompt.saved.path)
    assert (await store.get(Prompt, prompt.id)).prompt == "p"
    assert (await _task(store)).instruction == "Other."
    await Sharing(store).sync()
    await store.save((await _task(store)).replace(instruction="Third."))
    await Sharing(store).undo(UNSYNCED)
    assert (await _task(store)).instruction == "Other."


async def test_a_deleted_record_is_found_by_its_name_and_a_made_up_change_is_refused(
    store: ProjectStore,
) -> None:
    prompt = await store.save(Prompt(name="Café", prompt="p"), parent=await _task(store))
    await Sharing(store).sync()
    await store.delete(prompt)
    assert await Sharing(store).deleted_path("prompt", "café") == prompt.saved.path
    await Sharing(store).sync()
    assert await Sharing(store).deleted_path("prompt", "CAFÉ") == prompt.saved.path
    assert await Sharing(store).deleted_path("prompt", "tea") is None
    for change in ("nonsense", "--all", "", "0" * 40):
        with pytest.raises(RecordNotFound):
            await Sharing(store).undo(change)
    assert await Sharing(store).unsaved_changes() == ""


async def test_a_subject_with_a_separator_of_lines_is_one_change(store: ProjectStore) -> None:
    await store.save((await _task(store)).replace(instruction="Two."))
    git = Git(store.folder)
    git.run("commit", "--all", "--no-verify", "-m", "One\u2028two\x85three")
    (latest, *_) = (await Sharing(store).history()).entries
    assert latest.summary == "One\u2028two\x85three"


async def test_undoing_the_first_change_leaves_the_project_and_can_be_undone(
    store: ProjectStore,
) -> None:
    files = _files(store.folder)
    (first,) = (await Sharing(store).history()).entries
    with pytest.raises(Refusal, match="whose own record stays"):
        await Sharing(store).undo(first.change, "project.kiln")
    done = await Sharing(store).undo(first.change)
    assert done == "Delete the task T; the project's own record stays"
    assert set(_files(store.folder)) == {"project.kiln", ".gitattributes"}
    assert [entry.label for entry in await store.trash()] == ["T"]
    await Sharing(store).sync()
    await Sharing(store).undo((await Sharing(store).history()).entries[0].change)
    assert _files(store.folder) == files
    assert await store.trash() == []


async def test_what_was_never_synced_is_undone_but_for_the_project(tmp_path: Path) -> None:
    async with await ProjectStore.create(tmp_path / "n", Project(name="N"), home=tmp_path) as new:
        await Sharing(new).share()
        await new.save(Task(name="T", instruction="One."), parent=new.project)
        await Sharing(new).undo(UNSYNCED)
        assert set(_files(new.folder)) == {"project.kiln", ".gitattributes"}
        await Sharing(new).sync()
        await Sharing(new).undo((await Sharing(new).history()).entries[0].change)
        assert [task.name for task in await new.children(new.project, Task)] == ["T"]


async def test_a_change_is_undone_once(store: ProjectStore) -> None:
    task = await store.save((await _task(store)).replace(instruction="Two."))
    prompt = await store.save(Prompt(name="Short", prompt="p"), parent=task)
    await Sharing(store).sync()
    change = (await Sharing(store).history()).entries[0].change
    await store.save(task.replace(description="Later."))
    assert await Sharing(store).undo(change) == "Change the task T, delete the prompt Short"
    files = _files(store.folder)
    for path in (None, task.saved.path, prompt.saved.path):
        with pytest.raises(Refusal, match="undone already"):
            await Sharing(store).undo(change, path)
    assert _files(store.folder) == files
    assert (await _task(store)).description == "Later."


async def test_only_what_the_history_shows_is_undone(store: ProjectStore) -> None:
    task = await _task(store)
    await store.save(task.replace(instruction="Two."))
    with pytest.raises(Refusal, match="since the last sync"):
        await Sharing(store).undo(UNSYNCED, "project.kiln")
    await Sharing(store).sync()
    for change in ("HEAD", "main", "HEAD~1"):
        with pytest.raises(RecordNotFound):
            await Sharing(store).undo(change)
    latest = (await Sharing(store).history()).entries[0].change
    await Sharing(store).undo(latest[:8].upper())
    assert (await _task(store)).instruction == "One."


async def test_a_history_goes_on_where_its_page_ended_though_more_was_changed(
    store: ProjectStore,
) -> None:
    sharing = Sharing(store)
    for number in range(5):
        await store.save((await _task(store)).replace(instruction=f"Version {number}."))
        await sharing.sync()
    whole = (await sharing.history(limit=100)).entries
    first = await sharing.history(limit=3)
    await store.save((await _task(store)).replace(instruction="Later."))
    await sharing.sync()
    rest = await sharing.history(limit=100, cursor=first.next_cursor)
    assert [*first.entries, *rest.entries] == [*whole]
    assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["--output=x", "0" * 40 + "+1", "HEAD+1", ""])
async def test_a_cursor_that_no_page_gave_is_refused(store: ProjectStore, cursor: str) -> None:
    with pytest.raises(Refusal, match="no page"):
        await Sharing(store).history(cursor=cursor)
