"""A folder that a stranger made: what it holds makes nobody write, move or read elsewhere."""

import base64
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage import (
    Attachment,
    Document,
    Eval,
    EvalOutputScore,
    FileInfo,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)
from storage.border import Reach, check_path, check_target
from storage.collaboration.sync import Sharing
from storage.commits.commit_log import CommitLog
from storage.commits.seal import JournalSeal
from storage.commits.write_ahead import FileEdit, Move, PendingChange
from storage.errors import (
    CorruptRecord,
    RecordNotFound,
    StorageError,
    UnreadableRecord,
    UnsafePath,
)
from storage.exchange import receive_project
from storage.files import LARGEST_FILE

if sys.platform == "win32":
    pytest.skip("links and pipes are made as on POSIX", allow_module_level=True)

_GIT_CONFIG = "[core]\n\tbare = false\n"
_ABSOLUTE = "/tmp/kiln-mcp-outside"
_TARGETS = (
    ".git/config",
    ".git/hooks/post-checkout",
    ".GIT/config",
    ".git /config",
    "git~1/config",
    ".g\u200cit/config",
    ".git:stream/config",
    "tasks/.git/config",
    "tasks/1 - T/.git/hooks/pre-commit",
    "../outside",
    "tasks/../../outside",
    _ABSOLUTE + "/x",
    "./project.kiln",
    "tasks//x",
    "",
    ".trash",
    ".trash/pending/again.json",
    ".trash/foreign/x",
    "tasks/.trash/x",
    ".envrc",
    ".vscode/tasks.json",
    "setup.py",
    "nul\0byte",
)


@dataclass(frozen=True, slots=True)
class BorderProject:
    """A project with one run and an eval, a git folder, and something outside of it."""

    folder: Path
    home: Path
    outside: Path
    task: Task
    run: TaskRun
    measured: Eval

    def pending(self, name: str, content: bytes) -> Path:
        """Put a file among what is under way."""
        file = self.folder / ".trash" / "pending" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def elsewhere(self) -> dict[str, bytes]:
        """Return all that no project may touch."""
        tops = (self.folder / ".git", self.outside, Path(_ABSOLUTE))
        return {str(f): f.read_bytes() for top in tops for f in top.rglob("*") if f.is_file()}


@pytest.fixture
async def project(tmp_path: Path) -> BorderProject:
    folder, home, outside = tmp_path / "p", tmp_path / "h", tmp_path / "outside"
    async with await ProjectStore.create(folder, Project(name="P"), home=home) as store:
        task = await store.save(Task(name="T", instruction="I"), parent=store.project)
        run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
        score = EvalOutputScore(name="Right", type="pass_fail")
        measured = await store.save(
            Eval(name="E", output_scores=(score,), eval_set_filter_id="tag::test"), parent=task
        )
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / ".git" / "config").write_text(_GIT_CONFIG, encoding="utf-8")
    outside.mkdir()
    (outside / "mine.txt").write_text("mine", encoding="utf-8")
    return BorderProject(folder, home, outside, task, run, measured)


@pytest.fixture
async def store(project: BorderProject) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        yield store


def _journal(edits: list[FileEdit], moves: list[Move]) -> bytes:
    return PendingChange(edits, moves, [None] * len(edits)).text()


def _make_huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(LARGEST_FILE + 1)


async def _foreign(project: BorderProject) -> list[str]:
    """Open the project and return what is named of a stranger's journals."""
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        problems = await store.unreadable()
    return [one.path for one in problems if one.path.startswith(".trash/foreign/")]


# ------------------------------------------------------------ journals


@pytest.mark.parametrize("is_marked", [False, True], ids=["strange", "marked"])
@pytest.mark.parametrize("target", _TARGETS)
async def test_a_journal_touches_only_places_of_records(
    project: BorderProject, target: str, *, is_marked: bool
) -> None:
    """Even one with our mark: what the mark is on was checked when it was written."""
    before = project.elsewhere()
    source = str(Path(project.run.saved.path).parent)
    for number, text in enumerate(
        (
            _journal([FileEdit(target, b"evil", None)], []),
            _journal([], [Move(source, target)]),
            _journal([], [Move(target, "tasks/gone")]),
        )
    ):
        content = JournalSeal(project.home).mark(text) if is_marked else text
        project.pending(f"{number}.json", content)
    assert len(await _foreign(project)) == 3
    assert project.elsewhere() == before
    assert (project.folder / project.run.saved.path).is_file()


async def test_a_strangers_journal_changes_no_record_even_in_a_records_place(
    project: BorderProject,
) -> None:
    file = project.folder / project.task.saved.path
    held = file.read_bytes()
    evil = held.replace(b'"I"', b'"Obey."')
    edit = FileEdit(project.task.saved.path, evil, project.task.saved.revision)
    data = {"edits": [[edit.path, base64.b64encode(evil).decode(), edit.expected]], "moves": []}
    contents = (
        _journal([edit], []),
        json.dumps(data).encode(),
        b"0" * 64 + b"\n" + _journal([edit], []),
        b"\n" + _journal([edit], []),
        b"[" * 100_000,
        b"",
        b"\xff\xfe",
    )
    for number, content in enumerate(contents):
        project.pending(f"{number}.json", content)
    assert len(await _foreign(project)) == len(contents)
    assert file.read_bytes() == held
    assert list((project.folder / ".trash/pending").iterdir()) == []


async def test_a_mark_holds_for_the_text_that_it_was_made_for_alone(project: BorderProject) -> None:
    edit = FileEdit("project.kiln", b"x", None)
    own = JournalSeal(project.home).mark(_journal([edit], []))
    project.pending("own.json", own.replace(b'"edits"', b' "edits"'))
    assert len(await _foreign(project)) == 1


async def test_a_journal_does_not_write_through_a_link_that_came_since(
    project: BorderProject,
) -> None:
    runs = project.folder / Path(project.run.saved.path).parents[1]
    path = f"{runs.relative_to(project.folder).as_posix()}/new/task_run.kiln"
    text = _journal([FileEdit(path, b"evil", None), FileEdit(f"{path}.jsonl", b"evil", None)], [])
    project.pending("own.json", JournalSeal(project.home).mark(text))
    runs.rename(runs.with_name("elsewhere"))
    runs.symlink_to(project.folder / ".git")
    before = project.elsewhere()
    assert len(await _foreign(project)) == 1
    assert project.elsewhere() == before


async def test_what_is_no_file_among_what_is_under_way_is_put_aside_unread(
    project: BorderProject,
) -> None:
    pending = project.pending("x", b"").parent
    os.mkfifo(pending / "pipe.json")
    (pending / "folder.json").mkdir()
    (pending / "folder.new").mkdir()
    (pending / "link.json").symlink_to(project.outside / "mine.txt")
    (pending / "gone.new").symlink_to(project.outside / "mine.txt")
    _make_huge(pending / "huge.json")
    found = await _foreign(project)
    assert [Path(path).name.partition(".")[0] for path in found] == [
        *("folder", "folder", "huge", "link", "pipe"),
    ]
    assert (project.outside / "mine.txt").read_text(encoding="utf-8") == "mine"


async def test_after_a_strangers_journal_the_project_is_written_as_always(
    project: BorderProject,
) -> None:
    project.pending("evil.json", b"{}")
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        project.pending("again.json", b"{}")
        await store.save(project.task.replace(instruction="Be kind."))
        assert len([one for one in await store.unreadable() if "foreign" in one.path]) == 2
        await store.empty_trash()
        assert await store.unreadable() == []


async def test_any_home_of_the_same_person_settles_what_a_process_left(
    project: BorderProject, tmp_path: Path
) -> None:
    path = project.task.saved.path
    held = (project.folder / path).read_bytes()
    edit = FileEdit(path, held.replace(b'"I"', b'"Left."'), project.task.saved.revision)
    project.pending("own.json", JournalSeal(tmp_path / "other home").mark(_journal([edit], [])))
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        (task,) = await store.children(store.project, Task)
    assert task.instruction == "Left."


def test_the_key_of_journals_is_its_persons_alone_and_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    marked = JournalSeal(tmp_path / "state").mark(b"x")
    (key,) = (tmp_path / "data").rglob("journal.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert JournalSeal(tmp_path / "other").text_of(marked) == b"x"
    key.write_bytes(b"")
    assert JournalSeal(tmp_path / "other").text_of(marked) is None
    assert JournalSeal(tmp_path / "third").text_of(JournalSeal(tmp_path).mark(b"y")) == b"y"


def test_processes_of_one_home_know_each_others_journals_whatever_their_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "one"))
    marked = JournalSeal(tmp_path / "state").mark(b"x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "two"))
    assert JournalSeal(tmp_path / "state").text_of(marked) == b"x"
    assert JournalSeal(tmp_path / "other").text_of(marked) is None


def test_where_the_persons_folder_cannot_be_written_the_key_is_the_homes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    marked = JournalSeal(tmp_path / "state").mark(b"x")
    assert JournalSeal(tmp_path / "state").text_of(marked) == b"x"
    assert JournalSeal(tmp_path / "other").text_of(marked) is None


# ------------------------------------------------------------ paths


@pytest.mark.parametrize("target", _TARGETS)
async def test_no_change_is_committed_to_a_place_that_is_no_records(
    project: BorderProject, store: ProjectStore, target: str
) -> None:
    before = project.elsewhere()
    with pytest.raises(UnsafePath):
        await store.write([FileEdit(target, b"x", None)], [])
    with pytest.raises(UnsafePath):
        await store.write([], [Move(str(Path(project.run.saved.path).parent), target)])
    assert project.elsewhere() == before


def test_what_people_share_may_lie_beside_records_but_not_in_gits_folder() -> None:
    for path in ("README.md", ".github/workflows/x.yml", "notes/plan.txt", ".gitignore"):
        check_path(path, Reach.SHARED)
    for path in (".git/config", "sub/.Git/config", "../x", ".trash/pending/x"):
        with pytest.raises(UnsafePath):
            check_path(path, Reach.SHARED)


@pytest.mark.parametrize("part", ["runs", "evals", "."])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
async def test_nothing_is_saved_below_a_linked_folder(
    project: BorderProject, tmp_path: Path, part: str, *, inside: bool
) -> None:
    linked = project.folder / Path(project.task.saved.path).parent / part
    linked = linked.parent if part == "." else linked
    real = (project.folder / ".git" if inside else tmp_path) / "moved"
    linked.rename(real)
    linked.symlink_to(real)
    before = project.elsewhere()
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        for save in (
            lambda: store.save(project.run.replace(tags=("x",))),
            lambda: store.save(
                TaskRun(input="n", output=TaskOutput(output="o")), parent=project.task
            ),
            lambda: store.save(project.measured.replace(name="Other")),
            lambda: store.delete(project.run),
        ):
            try:
                await save()
            except StorageError:
                continue
    assert project.elsewhere() == before


async def test_a_trash_that_is_a_link_is_neither_listed_nor_emptied_nor_written(
    project: BorderProject, store: ProjectStore
) -> None:
    trash = project.folder / ".trash"
    trash.rename(project.folder.parent / "old trash")
    (project.outside / "photos").mkdir()
    (project.outside / "photos" / "one.jpg").write_bytes(b"x")
    trash.symlink_to(project.outside)
    before = project.elsewhere()
    assert await store.trash() == []
    for act in (store.empty_trash, lambda: store.delete(project.run)):
        with pytest.raises(UnsafePath, match="is a link"):
            await act()
    assert project.elsewhere() == before
    assert (project.folder / project.run.saved.path).is_file()


@pytest.mark.parametrize("folder", [".git/hooks/x", "../outside/x", "/tmp/kiln-x", "x", 5, None])
async def test_a_note_in_the_trash_brings_nothing_back_to_where_no_record_lies(
    project: BorderProject, store: ProjectStore, folder: object
) -> None:
    deleted = project.folder / ".trash" / "evil"
    (deleted / "content").mkdir(parents=True)
    (deleted / "content" / "post-checkout").write_text("evil", encoding="utf-8")
    note = {
        "kind": "task_run",
        "label": "A run",
        "folder": folder,
        "deleted_at": "2026-01-01T00:00:00+00:00",
        "deleted_by": "you",
    }
    (deleted / "deleted.json").write_text(json.dumps(note), encoding="utf-8")
    before = project.elsewhere()
    with pytest.raises(RecordNotFound):
        await store.restore("evil")
    assert project.elsewhere() == before


async def test_a_question_names_no_file_of_git_and_is_not_read_through_a_link(
    project: BorderProject, store: ProjectStore
) -> None:
    questions = project.folder / "questions"
    questions.mkdir()
    for number, path in enumerate((".git/config", ".GIT/config", "a/.git/config", "../outside/x")):
        choices: list[object] = [{"value": "a"}, {"value": "b"}]
        data: dict[str, object] = {"id": str(number), "path": path, "choices": choices}
        data |= {"other": "project.kiln", "field": []}
        (questions / f"{number}.json").write_text(json.dumps(data), encoding="utf-8")
    (questions / "link.json").symlink_to(project.outside / "mine.txt")
    os.mkfifo(questions / "pipe.json")
    assert await Sharing(store).conflicts() == []


async def test_a_file_is_copied_beside_no_record_behind_a_link(
    project: BorderProject, store: ProjectStore
) -> None:
    (project.folder / "documents").symlink_to(project.outside)
    attachment = Attachment.of_file(project.outside / "mine.txt")
    info = FileInfo(filename="mine.txt", size=4, mime_type="text/plain", attachment=attachment)
    before = project.elsewhere()
    with pytest.raises(UnsafePath, match="is a link"):
        await store.save(
            Document(name="D", description="d", original_file=info, kind="document"),
            parent=store.project,
        )
    assert project.elsewhere() == before


def test_a_file_that_somebody_asks_for_never_lands_in_gits_folder(project: BorderProject) -> None:
    (project.folder / "innocent").symlink_to(project.folder / ".git")
    for file in (project.folder / ".git/hooks/x", project.folder / "innocent/x"):
        with pytest.raises(UnsafePath, match="belongs to git"):
            check_target(file)
    check_target(project.outside / "table.csv")


# ------------------------------------------------------------ side files


async def _append(store: ProjectStore, project: BorderProject, line: str) -> None:
    async with store.transaction() as change:
        change.append_lines(project.measured, "kiln_mcp_labels.jsonl", [line])


async def test_a_side_file_that_is_a_link_is_neither_read_nor_written(
    project: BorderProject, store: ProjectStore
) -> None:
    file = store.side_folder(project.measured) / "kiln_mcp_labels.jsonl"
    for target in (project.outside / "mine.txt", project.outside / "new.txt"):
        file.unlink(missing_ok=True)
        file.symlink_to(target)
        before = project.elsewhere()
        with pytest.raises(UnsafePath, match="is a link"):
            await _append(store, project, "{}")
        with pytest.raises(UnsafePath, match="is a link"):
            await store.side_lines(project.measured, file.name)
        assert project.elsewhere() == before


async def test_a_side_file_behind_a_linked_folder_is_neither_read_nor_written(
    project: BorderProject, store: ProjectStore
) -> None:
    folder = store.side_folder(project.measured)
    folder.rename(project.outside / "moved")
    folder.symlink_to(project.outside / "moved")
    before = project.elsewhere()
    with pytest.raises(UnsafePath, match="is a link"):
        await _append(store, project, "{}")
    assert project.elsewhere() == before


async def test_a_side_file_that_is_no_file_or_has_no_end_is_named(
    project: BorderProject, store: ProjectStore
) -> None:
    file = store.side_folder(project.measured) / "kiln_mcp_labels.jsonl"
    os.mkfifo(file)
    with pytest.raises(CorruptRecord, match="no ordinary file"):
        await store.side_lines(project.measured, file.name)
    with pytest.raises(CorruptRecord, match="no ordinary file"):
        await _append(store, project, "{}")
    file.unlink()
    _make_huge(file)
    with pytest.raises(CorruptRecord, match="more than"):
        await store.side_lines(project.measured, file.name)


@pytest.mark.parametrize("name", ["../x.jsonl", "a/b.jsonl", ".x.jsonl", "eval.kiln", "", "x.sh"])
async def test_a_side_file_lies_in_its_records_folder_and_is_json(
    project: BorderProject, store: ProjectStore, name: str
) -> None:
    async def append() -> None:
        async with store.transaction() as change:
            change.append_lines(project.measured, name, ["{}"])

    with pytest.raises(StorageError, match="cannot be saved"):
        await append()


# ------------------------------------------------------------ records that are no files


async def test_a_projects_own_file_is_not_read_where_it_is_no_file_or_has_no_end(
    project: BorderProject,
) -> None:
    file = project.folder / "project.kiln"
    real = file.rename(project.outside / "project.kiln")
    for make, reason in (
        (lambda: file.symlink_to(real), "a link"),
        (lambda: os.mkfifo(file), "no ordinary file"),
        (lambda: file.symlink_to("/dev/zero"), "a link"),
        (lambda: _make_huge(file), "more than"),
    ):
        make()
        with pytest.raises(UnreadableRecord, match=reason):
            await ProjectStore.open(project.folder, home=project.home)
        file.unlink()


async def test_a_record_without_end_is_named_and_the_others_are_read(
    project: BorderProject,
) -> None:
    folder = project.folder / Path(project.run.saved.path).parents[1] / "999999999999"
    folder.mkdir()
    _make_huge(folder / "task_run.kiln")
    async with await ProjectStore.open(project.folder, home=project.home) as store:
        assert [run.id for run in await store.children(project.task, TaskRun)] == [project.run.id]
        (problem,) = await store.unreadable()
    assert "more than" in problem.reason


async def test_a_folder_whose_links_lead_to_its_git_folder_is_imported_without_it(
    project: BorderProject, tmp_path: Path
) -> None:
    (project.folder / ".git" / "config").write_text("token", encoding="utf-8")
    (project.folder / "notes.txt").symlink_to(project.folder / ".git" / "config")
    copy = await receive_project(str(project.folder), tmp_path / "copy")
    assert not (copy / "notes.txt").exists()
    with pytest.raises(UnsafePath, match="belongs to git"):
        await receive_project(str(project.folder), project.folder / ".git" / "copy")


def test_a_log_without_a_home_of_its_own_still_takes_nothing_from_a_stranger(
    project: BorderProject, tmp_path: Path
) -> None:
    project.pending("evil.json", _journal([FileEdit("project.kiln", b"x", None)], []))
    assert CommitLog(project.folder, tmp_path / "state").recover() == 0


async def test_what_is_kept_in_the_home_is_its_persons_alone_whatever_the_umask(
    tmp_path: Path,
) -> None:
    umask = os.umask(0)
    try:
        project, home = Project(name="P"), tmp_path / "home" / "of" / "ann"
        async with await ProjectStore.create(tmp_path / "p", project, home=home) as store:
            await store.save(Task(name="T", instruction="Answer."), parent=store.project)
    finally:
        os.umask(umask)
    paths = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    assert {path.name: path.stat().st_mode & 0o077 for path in paths} == dict.fromkeys(
        (path.name for path in paths), 0
    )
