"""Handles: what a person says to name a record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import records
from storage.errors import RecordNotFound, Refusal
from storage.records.handles import NameRow, handles_of, row_named, slug_of
from storage.records.names import folded_name
from storage.text.kind_words import FORMAT_KINDS, split_handle


def _rows(*names: str) -> list[NameRow]:
    return [
        NameRow(f"{number}/spec.kiln", f"10000000{number:04}", name, folded_name(name))
        for number, name in enumerate(names, 1)
    ]


def _id_named(reference: str, *names: str) -> str:
    return row_named("spec", reference, _rows(*names)).id


@pytest.mark.parametrize(
    "reference",
    [
        "No unfounded refunds",
        "  no  UNFOUNDED refunds ",
        "no-unfounded-refunds",
        "no_unfounded_refunds",
        "spec/no-unfounded-refunds",
        "Spec/No unfounded refunds",
        "spec / no_unfounded_refunds",
        "spec/100000000002",
        "100000000002",
    ],
)
def test_a_record_is_meant_by_id_name_and_handle_in_any_case_and_spacing(reference: str) -> None:
    assert _id_named(reference, "Tone", "No unfounded refunds") == "100000000002"


@pytest.mark.parametrize("word", ["evaluator", "judge", "eval_config", "Scorer", "eval-config"])
def test_a_kind_is_known_by_the_words_of_people_and_of_the_format(word: str) -> None:
    assert split_handle(f"{word}/correct") == ("eval_config", "correct")
    assert split_handle("pass/fail") == ("", "pass/fail")


def test_an_exact_name_is_meant_before_one_that_only_sounds_like_it() -> None:
    names = ("C++", "C", "pass/fail")
    assert _id_named("c", *names) == "100000000002"
    assert _id_named("pass/fail", *names) == "100000000003"
    assert _id_named("spec/c", *names) == "100000000002"
    with pytest.raises(RecordNotFound):
        _id_named("C#", "C++", "C")


def test_a_name_of_several_records_lists_a_handle_for_each_of_them() -> None:
    rows = _rows("Tone", "tone", "Tone!")
    with pytest.raises(Refusal, match="spec/tone-0001, spec/tone-0002") as caught:
        row_named("spec", "tone", rows)
    assert "2 records of kind spec are named 'tone'" in str(caught.value)
    for row in rows:
        assert row_named("spec", handles_of("spec", rows)[row.id], rows) == row


def test_a_near_miss_is_suggested_whether_it_was_a_name_or_a_handle() -> None:
    names = ["No unfounded refunds", *(f"Rule {number}" for number in range(20))]
    for reference in ("spec/refnds", "refnds", "no-unfounded-refnds", "No unfounded refund"):
        with pytest.raises(RecordNotFound, match="Close to it: No unfounded refunds"):
            _id_named(reference, *names)


def test_a_handle_of_another_kind_is_said_to_name_that_kind() -> None:
    with pytest.raises(RecordNotFound, match=r"no spec 'eval/tone'\. That names the kind eval\."):
        _id_named("eval/tone", "Manner")


def test_every_kind_of_record_can_stand_before_the_slash() -> None:
    kinds = [kind for kind in vars(records).values() if isinstance(kind, type)]
    models = [kind for kind in kinds if issubclass(kind, records.Record)]
    names = {model.type_name() for model in models if "model_type" in model.model_fields}
    assert names == FORMAT_KINDS


@given(st.lists(st.text(min_size=1, max_size=8), max_size=6))
def test_every_handle_means_the_record_that_it_is_of(names: list[str]) -> None:
    rows = _rows(*names)
    handles = handles_of("spec", rows)
    assert len(set(handles.values())) == len(rows)
    for row in rows:
        handle = handles[row.id]
        assert handle.startswith("spec/")
        try:
            assert row_named("spec", handle, rows).id == row.id
        except Refusal:  # another record has the handle as its very name
            assert any(slug_of(other.name) in handle for other in rows)
