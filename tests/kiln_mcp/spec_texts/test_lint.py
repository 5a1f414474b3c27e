import pytest

from kiln_mcp.spec_texts.lint import Gap, Rule, find_gaps
from kiln_mcp.spec_texts.spec_kinds import SpecKind

CHECKABLE = {
    "core_requirement": "The output is one JSON object.",
    "formatting_requirements": "- The object has the keys city and date.\n"
    "- The date has the form YYYY-MM-DD.",
    "proper_formatting_examples": '- {"city": "Rome", "date": "2026-01-02"}',
    "improper_formatting_examples": '- {"city": "Rome", "date": "2 January"}',
}


def gaps_of(requirement: str, instruction: str = "") -> list[Gap]:
    fields = {
        "desired_behaviour_description": requirement,
        "correct_behaviour_examples": "- Sure.",
        "incorrect_behaviour_examples": "- No.",
    }
    return list(find_gaps(SpecKind.DESIRED_BEHAVIOUR, fields, instruction))


def test_a_checkable_spec_has_no_gap() -> None:
    assert find_gaps(SpecKind.FORMATTING, CHECKABLE) == ()


@pytest.mark.parametrize(
    ("requirement", "rule", "quote"),
    [
        ("The reply is short.", Rule.VAGUE, "short"),
        ("It lists several reasons.", Rule.VAGUE, "several"),
        ("It names dates, prices, etc.", Rule.VAGUE, "etc."),
        ("The user feels welcome.", Rule.UNMEASURABLE, "user feels"),
        ("The text is engaging.", Rule.UNMEASURABLE, "engaging"),
        ("It names the city and must end with a question.", Rule.COMPOUND, "It names the city"),
        ("It is never sent without a greeting.", Rule.POLARITY, "never"),
        ("It always names a price.", Rule.ABSOLUTE, "always"),
    ],
)
def test_each_planted_weakness_is_found(requirement: str, rule: Rule, quote: str) -> None:
    found = [gap for gap in gaps_of(requirement) if gap.rule is rule]
    assert found, requirement
    assert quote in found[0].quote


@pytest.mark.parametrize(
    "requirement",
    [
        "The output names the city and the date.",
        "The reply is short: at most 20 words.",
        "The price lies between 5 and 10 euros.",
        "The first word is a greeting.",
    ],
)
def test_a_clause_that_can_be_checked_raises_no_alarm(requirement: str) -> None:
    assert gaps_of(requirement) == []


def test_missing_examples_are_asked_for_on_both_sides() -> None:
    gaps = find_gaps(SpecKind.TONE, {"core_requirement": "x", "tone_description": "y"})
    assert [gap.field for gap in gaps] == ["unacceptable_examples", "acceptable_examples"]


def test_a_clause_against_the_tasks_instruction_is_a_contradiction() -> None:
    gaps = gaps_of("The reply mentions the order number.", "Do not mention the order number.")
    assert gaps[0].rule is Rule.CONTRADICTION
    assert gaps[0].options == (
        "The reply mentions the order number.",
        "Do not mention the order number.",
    )


def test_clauses_that_say_nearly_the_same_are_found() -> None:
    gaps = gaps_of("- The reply names the order number.\n- The order number is named in a reply.")
    assert [gap.rule for gap in gaps] == [Rule.OVERLAP]


def test_one_output_on_both_sides_is_a_contradiction() -> None:
    fields = {**CHECKABLE, "improper_formatting_examples": CHECKABLE["proper_formatting_examples"]}
    (gap,) = find_gaps(SpecKind.FORMATTING, fields)
    assert gap.rule is Rule.CONTRADICTION


def test_an_issue_that_describes_the_right_thing_is_asked_about() -> None:
    fields = {"issue_description": "The date must be ISO.", "issue_examples": "- 2 May",
              "non_issue_examples": "- 2026-05-02"}  # fmt: skip
    (gap,) = find_gaps(SpecKind.ISSUE, fields)
    assert gap.rule is Rule.POLARITY
