"""The edits of an undo, and the later changes that stand against it."""

from pathlib import Path

import pytest

from storage.changes import Change
from storage.collaboration.undo_edits import (
    FileVersion,
    restore_deletions,
    reverse_edit,
    trash_additions,
)
from storage.errors import Refusal

_TASK = "tasks/1 - t/task.kiln"


def test_a_file_that_is_as_the_change_left_it_gets_its_old_content() -> None:
    edit = reverse_edit(FileVersion("a.md", b"old", b"new", b"new"))
    assert edit is not None
    assert edit.content == b"old"


def test_a_file_that_has_its_old_content_needs_no_edit() -> None:
    assert reverse_edit(FileVersion("a.md", b"old", b"new", b"old")) is None


def test_lines_that_were_appended_later_stay() -> None:
    edit = reverse_edit(FileVersion("a.jsonl", b"1\n", b"1\n2\n", b"1\n2\n3\n"))
    assert edit is not None
    assert edit.content == b"1\n3\n"


def test_lines_that_were_removed_already_need_no_edit() -> None:
    assert reverse_edit(FileVersion("a.jsonl", b"1\n", b"1\n2\n", b"1\n3\n")) is None


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (FileVersion("x/a.md", b"1", b"2", b"3"), "a.md was changed again since"),
        (FileVersion("x/a.md", b"1", b"2", None), "a.md was deleted since"),
        (
            FileVersion(_TASK, b'{"name": "a"}', b'{"name": "b"}', b'{"name": "c"}'),
            "the name of the task c was changed again since",
        ),
    ],
)
def test_a_later_change_of_the_same_content_stands_against_the_undo(
    file: FileVersion, reason: str
) -> None:
    with pytest.raises(Refusal, match=f"cannot be undone alone: {reason}. Nothing was changed"):
        reverse_edit(file)


def test_a_deleted_record_is_not_restored_below_a_record_that_is_gone(tmp_path: Path) -> None:
    run = FileVersion("tasks/1 - t/runs/2/task_run.kiln", b'{"input": "hi"}', None, None)
    with pytest.raises(Refusal, match="what the run hi lay below was deleted too"):
        restore_deletions(Change(tmp_path), [run])


def test_a_deleted_record_is_not_restored_over_another(tmp_path: Path) -> None:
    task = FileVersion(_TASK, b'{"name": "a"}', None, b'{"name": "b"}')
    with pytest.raises(Refusal, match="is there again, and differs"):
        restore_deletions(Change(tmp_path), [task])


def test_files_without_a_record_go_to_the_trash_by_themselves(tmp_path: Path) -> None:
    plan = Change(tmp_path)
    trash_additions(plan, [FileVersion("README.md", None, b"x", b"x")])
    assert [(move.source, move.target) for move in plan.moves] == [
        ("README.md", ".trash/undone/README.md")
    ]
