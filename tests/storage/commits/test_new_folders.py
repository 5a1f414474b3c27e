"""New records go into place with their folders: whole, or not at all."""

from pathlib import Path

import pytest

from storage.atomic_write import write_all_aside
from storage.commits.commit_log import CommitLog, FileEdit
from storage.commits.steps import ChangeRequest, Step, folders_of_one
from storage.commits.write_ahead import PendingChange
from storage.errors import WriteError

RUNS = "tasks/1 - T/runs"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    (folder / RUNS).mkdir(parents=True)
    (folder / "tasks/1 - T/task.kiln").write_text("{}", encoding="utf-8")
    return folder


def run(number: int, name: str = "task_run.kiln") -> FileEdit:
    return FileEdit(f"{RUNS}/{number}/{name}", b"{}", None, "tasks/1 - T/task.kiln")


def in_place(project: Path) -> list[str]:
    return sorted(str(file.relative_to(project / RUNS)) for file in (project / RUNS).rglob("*"))


def aside(project: Path) -> list[Path]:
    return list((project / ".trash/pending").iterdir())


@pytest.mark.parametrize("count", [1, 3, 300])
def test_each_new_record_is_in_its_folder_and_nothing_stays_aside(
    project: Path, tmp_path: Path, count: int
) -> None:
    CommitLog(project, tmp_path / "s").commit([run(number) for number in range(count)])
    expected = {f"{number}{rest}" for number in range(count) for rest in ("", "/task_run.kiln")}
    assert set(in_place(project)) == expected
    assert aside(project) == []


def test_a_folder_of_several_files_holds_all_of_them(project: Path, tmp_path: Path) -> None:
    below = FileEdit(f"{RUNS}/2/feedback/5/feedback.kiln", b"{}", None)
    CommitLog(project, tmp_path / "s").commit([run(1), run(1, "notes.jsonl"), run(2), below])
    assert [path for path in in_place(project) if path.endswith(("n", "l"))] == [
        "1/notes.jsonl",
        "1/task_run.kiln",
        "2/feedback/5/feedback.kiln",
        "2/task_run.kiln",
    ]


def test_only_folders_of_one_file_are_made_aside() -> None:
    edits = [run(1), run(2), run(2, "x"), run(3), FileEdit(f"{RUNS}/3/f/4/f.kiln", b"{}", None)]
    step = Step(ChangeRequest(edits), PendingChange(edits, (), [None] * 5))
    missing = {f"{RUNS}/{number}" for number in (1, 2, 3)}
    assert folders_of_one([step], missing) == {f"{RUNS}/1"}
    assert folders_of_one([step], ()) == set()


@pytest.mark.parametrize("count", [1, 300])
def test_what_cannot_all_be_written_aside_leaves_nothing(tmp_path: Path, count: int) -> None:
    folders = [str(tmp_path / "p" / str(number)) for number in range(count + 1)]
    files = [(f"{folder}/task_run.kiln", b"{}") for folder in folders]
    files[-1] = (f"{folders[-1]}/{'n' * 300}", b"{}")
    (place := tmp_path / "aside").mkdir()
    with pytest.raises(WriteError):
        write_all_aside(files, place, new_folders=folders)
    assert list(place.iterdir()) == []


def test_the_next_writer_removes_a_folder_that_a_dead_process_left_aside(
    project: Path, tmp_path: Path
) -> None:
    left = project / ".trash/pending/.task_run.kiln.0000abcd.new"
    left.mkdir(parents=True)
    (left / "task_run.kiln").write_text("{}", encoding="utf-8")
    CommitLog(project, tmp_path / "s").commit([run(1)])
    assert aside(project) == []
    assert not (project / ".trash/foreign").exists()


def test_a_folder_that_no_writer_leaves_is_kept_for_a_person(project: Path, tmp_path: Path) -> None:
    strange = project / ".trash/pending/.strange.0000abcd.new"
    (strange / "inner").mkdir(parents=True)
    CommitLog(project, tmp_path / "s").commit([run(1)])
    assert aside(project) == []
    (kept,) = (project / ".trash/foreign").iterdir()
    assert (kept / "inner").is_dir()
