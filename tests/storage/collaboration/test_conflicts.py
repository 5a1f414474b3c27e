"""A conflict as a person reads it: the question, its choices, and what it is about."""

from storage.collaboration.conflict_files import (
    deletion_conflict_file,
    field_conflict_file,
    version_conflict_file,
)
from storage.collaboration.conflicts import Choice, Conflict, choice_at
from storage.collaboration.record_changes import Document
from storage.collaboration.three_way_merge import ABSENT, FieldConflict, Value

_RUN = "tasks/1 - t/runs/2/task_run.kiln"


def _conflict(ours: Value, theirs: Value, *field: str) -> Conflict:
    file = field_conflict_file(_RUN, FieldConflict(field, ABSENT, ours, theirs))
    return Conflict.model_validate_json(file.content)


def test_short_values_are_part_of_the_question() -> None:
    conflict = _conflict(5.0, ABSENT, "output", "rating", "value")
    assert conflict.text == "2: is the overall rating 5 or absent?"
    assert conflict.options == ("5", "absent")


def test_long_values_are_choices_alone_from_shortly_before_their_difference() -> None:
    conflict = _conflict("a" * 400 + "x", "a" * 400 + "y", "instruction")
    assert conflict.text == "2: which instruction is right?"
    assert [option[-20:] for option in conflict.options] == [
        'ax" (403 characters)',
        'ay" (403 characters)',
    ]


def test_each_choice_names_its_author_if_known() -> None:
    conflict = _conflict(1, 2, "x").model_copy(update={"authors": ("", "Ben, 2026-01-01")})
    assert conflict.options == ("1", "2 (Ben, 2026-01-01)")


def test_a_deletion_against_a_change_asks_whether_to_keep_the_record() -> None:
    conflict = Conflict.model_validate_json(deletion_conflict_file(_RUN).content)
    assert conflict.text == "2: one deleted it and another changed it. Keep it?"
    assert sorted(conflict.options) == ["delete it", "keep it"]
    assert conflict.subject({}) == "whether a run is kept"
    assert conflict.subject({"input": "hi"}) == "whether the run 'hi' is kept"


def test_two_versions_of_a_file_ask_which_one_to_keep() -> None:
    file = version_conflict_file("skills/1/SKILL.md", "skills/1/other.md")
    conflict = Conflict.model_validate_json(file.content)
    assert conflict.text == "1: two people changed SKILL.md. Keep it, or other.md?"
    assert conflict.subject({}) == "which SKILL.md is kept"


def test_the_subject_of_a_field_names_field_and_record() -> None:
    conflict = _conflict(1, 2, "output", "rating", "value")
    assert conflict.subject({"input": "hi"}) == "the overall rating of the run 'hi'"


def test_a_missing_field_is_an_absent_choice() -> None:
    document: Document = {"a": {"b": None}, "c": 1}
    assert choice_at(document, ("a", "b")) == Choice(value=None)
    assert choice_at(document, ("a", "x")) == Choice(absent=True)
    assert choice_at(document, ("c", "x")) == Choice(absent=True)
