"""Changes of records in words."""

import pytest

from storage.collaboration.record_changes import (
    Document,
    RecordChange,
    as_text,
    document_of,
    excerpts,
    field_changes,
    field_name,
    noun,
    summary,
)


@pytest.mark.parametrize(
    ("content", "document"),
    [
        (None, None),
        (b'{"a": 1}', {"a": 1}),
        (b"[1]", {}),
        (b"{", {}),
        (b'{"a":' * 101 + b"1" + b"}" * 101, {}),
        (b"[" * 100_000, {}),
    ],
)
def test_a_file_that_is_no_object_or_too_deep_is_empty(
    content: bytes | None, document: object
) -> None:
    assert document_of(content) == document


def test_an_object_with_many_lists_side_by_side_is_not_too_deep() -> None:
    content = b'{"a": [' + b",".join([b"[]"] * 200) + b"]}"
    assert document_of(content) == {"a": [[]] * 200}


@pytest.mark.parametrize(
    ("old", "new", "verbs"),
    [
        (None, {"a": 1}, ("add",)),
        ({"a": 1}, None, ("delete",)),
        ({"a": 1}, {"a": 1}, ("change",)),
        ({"tags": []}, {"tags": ["x"]}, ("tag",)),
        ({"name": "a"}, {"name": "b"}, ("rename",)),
        ({"repaired_output": None}, {"repaired_output": {"output": "x"}}, ("repair",)),
        ({"output": {"rating": None}}, {"output": {"rating": {"value": 1}}}, ("rate",)),
    ],
)
def test_the_fields_of_a_run_decide_the_verb(
    old: Document | None, new: Document | None, verbs: tuple[str, ...]
) -> None:
    assert RecordChange("task_run", old, new).verbs == verbs


def test_a_rating_of_another_kind_of_record_is_a_change() -> None:
    assert RecordChange("eval", {"rating": 1}, {"rating": 2}).verbs == ("change",)


def test_a_new_part_of_a_record_is_reported_without_the_keys_that_programs_set() -> None:
    new: Document = {"id": "1", "created_at": "now", "value": 5}
    changes = field_changes({"rating": None}, {"rating": new})
    assert [(change.field, change.new) for change in changes] == [("value of rating", 5)]
    assert [change.field for change in field_changes({"id": "1"}, {"id": "2"})] == ["id"]


def test_one_record_is_named_and_several_are_counted() -> None:
    tone = RecordChange("eval", None, {"name": "Tone"})
    runs = [RecordChange("task_run", None, {"input": text}) for text in "ab"]
    assert summary([tone, *runs], ["a.md"]) == "Add 2 runs, add the eval Tone, update a.md"
    assert summary([RecordChange("feedback", {}, None)]) == "Delete 1 piece of feedback"
    assert summary([]) == ""


def test_a_summary_of_many_kinds_of_change_ends_with_how_many_more() -> None:
    changes = [RecordChange(kind, None, {"name": kind}) for kind in "abcdefg"]
    text = summary(changes, ["x", "y"])
    assert text == "Add the a a, add the b b, add the c c, add the d d, and 4 more kinds of change"


def test_a_field_is_named_as_people_read_it() -> None:
    assert field_name(("output", "rating", "requirement_ratings", "named::Tone")) == (
        "rating of Tone"
    )
    assert field_name(("model_name",)) == "model name"
    assert field_name(("properties", "top_p")) == "top p of properties"


def test_kinds_have_a_singular_and_a_plural() -> None:
    assert [noun("eval_config"), noun("eval_config", 2), noun("skill", 0)] == [
        *("evaluator", "evaluators", "skills")
    ]


def test_whole_numbers_have_no_decimal_point() -> None:
    assert [as_text(5.0), as_text(0.5), as_text("é"), as_text(None)] == ["5", "0.5", '"é"', "null"]


def test_texts_without_a_difference_within_the_shorter_one_are_cut_at_its_end() -> None:
    short, long = excerpts(["a" * 310, "a" * 310 + "b"])
    assert short == "…" + "a" * 60 + " (310 characters)"
    assert long == "…" + "a" * 60 + "b (311 characters)"
