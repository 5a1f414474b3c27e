"""The files of conflicts: the same bytes on every machine, and safe to read."""

import json
from pathlib import Path

import pytest

from storage.collaboration.conflict_files import (
    FOLDER,
    deletion_conflict_file,
    field_conflict_file,
    open_conflict,
    open_conflicts,
    version_conflict_file,
)
from storage.collaboration.conflicts import Choice
from storage.collaboration.three_way_merge import ABSENT, FieldConflict
from storage.errors import RecordNotFound

_RUN = "tasks/1 - t/runs/2/task_run.kiln"
_STARS = FieldConflict(("output", "rating", "value"), ABSENT, 5.0, 1.0)
_REPAIR = FieldConflict(
    ("repaired_output", "output"),
    ABSENT,
    "x",
    "b",
    (FieldConflict(("repair_instructions",), ABSENT, "i", "j"),),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    run = project / _RUN
    run.parent.mkdir(parents=True)
    run.write_text('{"id": "2", "input": "hi", "output": {"rating": {"value": 1.0}}}', "utf-8")
    (project / FOLDER).mkdir()
    return project


def _write(project: Path, content: bytes, name: str) -> None:
    (project / name).write_bytes(content)


def test_the_id_and_the_keys_of_a_file_never_change() -> None:
    """Projects hold such files, and two machines must write the same one."""
    file = field_conflict_file("tasks/1/runs/2/task_run.kiln", _STARS)
    assert file.path == "questions/ab2faf3147f6.json"
    assert json.loads(file.content) == {
        "id": "ab2faf3147f6",
        "path": "tasks/1/runs/2/task_run.kiln",
        "field": ["output", "rating", "value"],
        "before": {"absent": True, "value": None},
        "choices": [{"absent": False, "value": 1.0}, {"absent": False, "value": 5.0}],
    }


@pytest.mark.parametrize("conflict", [_STARS, _REPAIR])
def test_both_sides_write_the_same_file(conflict: FieldConflict) -> None:
    def turn(conflict: FieldConflict) -> FieldConflict:
        companions = tuple(map(turn, conflict.companions))
        return FieldConflict(
            conflict.field, conflict.base, conflict.theirs, conflict.ours, companions
        )

    assert field_conflict_file(_RUN, conflict) == field_conflict_file(_RUN, turn(conflict))


def test_a_value_set_since_then_is_a_third_choice_of_each_field(project: Path) -> None:
    file = field_conflict_file(_RUN, _REPAIR)
    _write(project, file.content, file.path)
    (conflict,) = open_conflicts(project)
    assert conflict.choices[2] == Choice(absent=True)
    assert conflict.companions[0].choices[2] == Choice(absent=True)
    assert conflict.record_name == "the run 'hi'"


def test_a_conflict_of_two_versions_is_open_while_both_files_exist(project: Path) -> None:
    folder = _RUN.rpartition("/")[0]
    file = version_conflict_file(f"{folder}/a.md", f"{folder}/b.md")
    _write(project, file.content, file.path)
    assert open_conflicts(project) == []
    for name in ("a.md", "b.md"):
        _write(project, b"", f"{folder}/{name}")
    (conflict,) = open_conflicts(project)
    assert conflict.options == ("the one in a.md", "the one in b.md")


def test_files_that_are_no_conflict_or_have_another_name_are_ignored(project: Path) -> None:
    file = deletion_conflict_file(_RUN)
    for name, content in (("a", b"{"), ("b", b"[]"), ("c", file.content)):
        _write(project, content, f"{FOLDER}/{name}.json")
    assert open_conflicts(project) == []


@pytest.mark.parametrize("path", ["../outside/task_run.kiln", ".trash/x/task_run.kiln"])
def test_a_conflict_that_names_a_file_outside_the_project_is_ignored(
    project: Path, path: str
) -> None:
    record = project / path
    record.parent.mkdir(parents=True)
    record.write_text('{"id": "2"}', encoding="utf-8")
    file = deletion_conflict_file(path)
    _write(project, file.content, file.path)
    assert open_conflicts(project) == []


def test_a_folder_that_is_a_link_holds_no_conflicts(project: Path, tmp_path: Path) -> None:
    file = deletion_conflict_file(_RUN)
    _write(project, file.content, file.path)
    assert len(open_conflicts(project)) == 1
    (project / FOLDER).rename(tmp_path / "elsewhere")
    (project / FOLDER).symlink_to(tmp_path / "elsewhere")
    assert open_conflicts(project) == []


def test_an_unknown_id_is_refused_with_those_that_are_open(project: Path) -> None:
    file = deletion_conflict_file(_RUN)
    _write(project, file.content, file.path)
    key = Path(file.path).stem
    assert open_conflict(project, key).path == _RUN
    with pytest.raises(RecordNotFound, match=key):
        open_conflict(project, "abc")
