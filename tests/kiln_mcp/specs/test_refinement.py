"""Answers become edits in the answers' own words."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.lint import Gap, Rule, find_gaps
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.drafts import draft_by_rules
from kiln_mcp.specs.refinement import PersonAnswer, incorporate
from storage import NO_EXAMPLES

TONE = {"core_requirement": "Be kind.", "tone_description": "- Name the order.\n- No blame."}


def refined(
    fields: Mapping[str, str], gap: Gap, answer: str, kind: SpecKind = SpecKind.TONE
) -> dict[str, str]:
    """Return the fields after the answer to a gap."""
    return incorporate(kind, fields, (gap,), [PersonAnswer(gap.id, answer)]).apply(fields)


def first_gap(kind: SpecKind, fields: Mapping[str, str], rule: Rule, instruction: str = "") -> Gap:
    return next(gap for gap in find_gaps(kind, fields, instruction) if gap.rule is rule)


def test_the_meaning_of_a_vague_word_goes_to_the_field_for_details() -> None:
    gap = Gap(Rule.VAGUE, "core_requirement", "kind", "", "What is kind?")
    assert refined(TONE, gap, "no insult")["tone_description"] == (
        '- Name the order.\n- No blame.\n- "kind" means: no insult'
    )


def test_the_clause_that_was_not_chosen_leaves_every_field() -> None:
    fields = {**TONE, "tone_description": "- Name the order.\n- Do not name the order."}
    gap = first_gap(SpecKind.TONE, fields, Rule.CONTRADICTION)
    assert refined(fields, gap, "Name the order.")["tone_description"] == "- Name the order."


def test_a_field_with_nothing_but_the_other_clause_takes_the_chosen_one() -> None:
    fields = {"core_requirement": "Name the order number.", "tone_description": "Be brief."}
    instruction = "Do not name the order number."
    gap = Gap(
        Rule.CONTRADICTION,
        "core_requirement",
        fields["core_requirement"],
        "",
        "Which holds?",
        (fields["core_requirement"], instruction),
    )
    assert refined(fields, gap, instruction)["core_requirement"] == f"- {instruction}"


def test_a_free_answer_to_a_contradiction_is_a_definition() -> None:
    gap = Gap(Rule.CONTRADICTION, "tone_description", "No blame.", "", "Which?", ("a", "b"))
    assert refined(TONE, gap, "neither")["tone_description"].endswith('"No blame." means: neither')


def test_an_output_on_both_sides_leaves_the_side_that_the_answer_excludes() -> None:
    good, bad = "proper_formatting_examples", "improper_formatting_examples"
    fields = {
        "core_requirement": "The reply has 2 sentences.",
        "formatting_requirements": "Exactly 2 sentences.",
        good: "- One. Two.",
        bad: "- One. Two.",
    }
    gap = first_gap(SpecKind.FORMATTING, fields, Rule.CONTRADICTION)
    passes = refined(fields, gap, "It passes", SpecKind.FORMATTING)
    fails = refined(fields, gap, "It fails", SpecKind.FORMATTING)
    assert (passes[good], passes[bad]) == (fields[good], "")
    assert (fails[good], fails[bad]) == ("", fields[bad])


def test_an_example_replaces_the_placeholder() -> None:
    fields = {**TONE, "acceptable_examples": NO_EXAMPLES}
    gap = first_gap(SpecKind.TONE, fields, Rule.NO_EXAMPLE)
    assert refined(fields, gap, "You fool.")["unacceptable_examples"] == "- You fool."
    gap = Gap(Rule.NO_EXAMPLE, "acceptable_examples", "", "", "An example that passes?")
    assert refined(fields, gap, "Thank you.")["acceptable_examples"] == "- Thank you."


def test_an_issue_takes_the_description_of_its_fault() -> None:
    fields = {"issue_description": "The date must be ISO.", "issue_examples": "- 2 May",
              "non_issue_examples": "- 2026-05-02"}  # fmt: skip
    gap = first_gap(SpecKind.ISSUE, fields, Rule.POLARITY)
    result = refined(fields, gap, "the date is not ISO 8601", SpecKind.ISSUE)
    assert result["issue_description"] == "The date is not ISO 8601."
    assert find_gaps(SpecKind.ISSUE, result) == ()


def test_a_question_in_words_is_an_undecided_case_and_an_unknown_id_is_refused() -> None:
    answers = [PersonAnswer("May it greet?", "yes, once"), PersonAnswer("greeting", "yes")]
    result = incorporate(SpecKind.TONE, TONE, (), answers)
    assert [edit.new for edit in result.edits] == ["- Name the order.\n- No blame.\n- Yes, once."]
    assert result.unused_answers == ("greeting: no open question has this id; open: none.",)


def test_an_edit_holds_the_reason_of_each_answer() -> None:
    answers = [PersonAnswer("May it greet?", "yes"), PersonAnswer("May it joke?", "no")]
    (edit,) = incorporate(SpecKind.TONE, TONE, (), answers).edits
    assert edit.reason == "May it greet? yes | May it joke? no"
    assert edit.old == TONE["tone_description"]


def test_an_answer_that_changes_no_text_makes_no_edit() -> None:
    gap = Gap(Rule.POLARITY, "core_requirement", "Be kind.", "", "In plain words?")
    assert incorporate(SpecKind.TONE, TONE, (gap,), [PersonAnswer(gap.id, "be kind")]).edits == ()


@given(
    st.lists(
        st.sampled_from(
            [
                "short",
                "polite",
                "never",
                "and must",
                "the user feels",
                "helpful",
                "order",
                "not",
                "without",
                "names the city.",
                "always",
                "several",
                "\n- ",
            ]
        ),
        min_size=1,
    ).map(" ".join)
)
def test_answering_every_vague_unmeasurable_and_absolute_word_closes_it(wish: str) -> None:
    draft = draft_by_rules(wish, SpecKind.TONE)
    asked = {Rule.VAGUE, Rule.UNMEASURABLE, Rule.ABSOLUTE}
    gaps = [g for g in find_gaps(draft.kind, draft.fields) if g.rule in asked]
    answers = [PersonAnswer(gap.id, "Sentence one holds a greeting.") for gap in gaps]
    result = incorporate(draft.kind, draft.fields, gaps, answers)
    assert result.unused_answers == ()
    gaps = find_gaps(draft.kind, result.apply(draft.fields))
    assert not [gap for gap in gaps if gap.rule in asked]


def test_only_one_of_two_requirements_may_be_kept() -> None:
    fields = {"desired_behaviour_description": "It names the city and must end with a question."}
    gap = next(g for g in find_gaps(SpecKind.DESIRED_BEHAVIOUR, fields) if g.rule is Rule.COMPOUND)
    result = incorporate(
        SpecKind.DESIRED_BEHAVIOUR, fields, (gap,), [PersonAnswer(gap.question, gap.options[1])]
    )
    (edit,) = result.edits
    assert edit.new == "It names the city."


def test_answers_that_say_nothing_are_named_with_the_reason() -> None:
    fields = {"core_requirement": "Short.", "tone_description": "Short."}
    gaps = find_gaps(SpecKind.TONE, fields)
    result = incorporate(
        SpecKind.TONE,
        fields,
        gaps,
        [PersonAnswer("vague:x", "y"), PersonAnswer(gaps[0].id, "Not sure.")],
    )
    assert result.edits == ()
    assert "vague:x: no open question has this id; open: vague:" in result.unused_answers[0]
    assert "leaves it open" in result.unused_answers[1]
