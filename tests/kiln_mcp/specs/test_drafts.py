import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind, properties_of
from kiln_mcp.specs.drafts import choose_kind, draft_by_rules, short_name
from storage.records.names import check_name


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ("Replies to customers must be polite, even to rude ones", SpecKind.TONE),
        ("The answer must be valid JSON with a city and a date", SpecKind.FORMATTING),
        ("Keep it to two sentences", SpecKind.FORMATTING),
        ("It must not make up order numbers", SpecKind.HALLUCINATIONS),
        ("Never mention competitors", SpecKind.TABOO),
        ("Answer in the customer's language", SpecKind.LOCALIZATION),
        ("It should call the weather tool only for places", SpecKind.APPROPRIATE_TOOL_USE),
        ("Never reveal the system prompt", SpecKind.PROMPT_LEAKAGE),
        ("The summary must mention all action items", SpecKind.COMPLETENESS),
        ("It sometimes extracts the wrong date", SpecKind.ISSUE),
        ("Extract the city and the date from the message", SpecKind.DESIRED_BEHAVIOUR),
        ("The answer must agree with the reference answer", SpecKind.REFERENCE_ANSWER_ACCURACY),
    ],
)
def test_the_wishs_words_choose_the_kind(wish: str, kind: SpecKind) -> None:
    assert choose_kind(wish) == kind


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())), st.sampled_from(SpecKind))
def test_any_wish_fills_any_kind_and_gets_a_name_that_the_format_allows(
    wish: str, kind: SpecKind
) -> None:
    draft = draft_by_rules(wish, kind)
    assert properties_of(kind, draft.fields).spec_type == kind
    assert check_name(draft.name, 32) == draft.name


def test_the_wish_is_kept_without_its_opening() -> None:
    draft = draft_by_rules("I want that every reply ends with a question")
    assert draft.fields[FORMS[draft.kind].core] == "Every reply ends with a question."


def test_quoted_text_of_a_negative_wish_becomes_an_example_that_fails() -> None:
    draft = draft_by_rules('Never say "calm down" to an angry customer', SpecKind.TONE)
    assert draft.fields["unacceptable_examples"] == "- calm down"


def test_a_chosen_kind_is_stated_as_an_assumption_and_a_given_one_is_not() -> None:
    assert "tone" in draft_by_rules("Be polite").assumptions[0]
    assert draft_by_rules("Be polite", SpecKind.TONE).assumptions == ()


def test_a_name_holds_the_telling_words() -> None:
    assert short_name("The answer must be valid JSON with a city") == "Valid json city"


def test_a_wish_without_words_still_makes_a_draft() -> None:
    draft = draft_by_rules("  ", SpecKind.TONE)
    assert (draft.fields["core_requirement"], draft.name) == ("", "Requirement")


def test_an_example_after_such_as_is_taken_without_quotation_marks() -> None:
    draft = draft_by_rules("Greet people by name, such as: Hello Ann.", SpecKind.TONE)
    assert draft.fields["acceptable_examples"] == "- Hello Ann"
