from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.spec_kinds import (
    FORMS,
    NO_EXAMPLES,
    SpecKind,
    definition,
    fields_of,
    forms_text,
    kind_of,
    properties_of,
)
from storage import Spec
from storage.errors import Refusal
from storage.records.spec import SpecProperties

RECORDS = {
    part.model_fields["spec_type"].default: part for part in get_args(get_args(SpecProperties)[0])
}


def test_there_is_a_form_for_each_of_the_kinds_that_the_format_has() -> None:
    assert {str(kind) for kind in FORMS} == set(RECORDS)
    assert len(FORMS) == 17


@pytest.mark.parametrize("kind", SpecKind)
def test_a_form_has_exactly_the_fields_of_the_record(kind: SpecKind) -> None:
    record = RECORDS[str(kind)]
    assert set(FORMS[kind].fields) == set(record.model_fields) - {"spec_type"}
    needed = {name for name, field in record.model_fields.items() if field.is_required()}
    assert needed <= set(FORMS[kind].required)


@pytest.mark.parametrize("kind", SpecKind)
def test_fields_survive_a_saved_spec(kind: SpecKind) -> None:
    given = {name: f"text of {name}" for name in FORMS[kind].required}
    spec = Spec(name="A", definition=definition(kind, given), properties=properties_of(kind, given))
    assert kind_of(spec) == kind
    assert fields_of(spec) == given


def test_the_definition_has_a_heading_for_each_filled_field_in_the_forms_order() -> None:
    text = definition(
        SpecKind.TONE,
        {"unacceptable_examples": "", "tone_description": "Warm.", "core_requirement": "Kind."},
    )
    assert text == "## Core Requirement\nKind.\n\n## Tone Description\nWarm."


def test_needed_examples_may_be_missing_and_are_marked_as_such() -> None:
    properties = properties_of(
        SpecKind.APPROPRIATE_TOOL_USE,
        {"core_requirement": "Call search.", "tool_use_guidelines": "For news."},
    )
    assert properties.model_dump()["appropriate_tool_use_examples"] == NO_EXAMPLES


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"core_requirement": "x"}, "tone_description missing"),
        ({"core_requirement": " ", "tone_description": "y"}, "core_requirement missing"),
        ({"core_requirement": "x", "tone_description": "y", "tune": "z"}, "unknown tune"),
    ],
)
def test_wrong_fields_are_refused_with_the_valid_ones(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Refusal, match=rf"{reason}.*optional: acceptable_examples"):
        properties_of(SpecKind.TONE, fields)


@given(st.sampled_from(SpecKind))
def test_every_kind_is_offered_to_a_model_that_must_choose(kind: SpecKind) -> None:
    assert f"- {kind}: {FORMS[kind].purpose}" in forms_text()


def test_a_text_that_the_format_refuses_is_refused_with_the_reason() -> None:
    with pytest.raises(Refusal, match=r"core_requirement(.|\n)*Required: core_requirement"):
        properties_of(SpecKind.BIAS, {"core_requirement": "\ud800"})
