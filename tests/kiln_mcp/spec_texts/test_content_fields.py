from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.content_fields import content_from, fields_from, polarity_of
from kiln_mcp.spec_texts.example_text import ExampleText, plain, read_examples, write_examples
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind, properties_of
from storage import NO_EXAMPLES

PERSON = Origin("person", "a1")
_fragments = st.sampled_from(
    ["a", "B.", "漢", " ", "\n", "\n\n", "- ", "* ", "1. ", "Input: ", "Output:", "Why: x", "! "]
)
_letters = st.lists(_fragments, min_size=1, max_size=12).map("".join)
texts = _letters.map(plain).filter(bool)
clause_texts = texts.map(lambda text: " ".join(text.split())).filter(
    lambda text: text[0].isalpha() and len(text) > 1
)


@st.composite
def contents(draw: st.DrawFn) -> SpecContent:
    kind = draw(st.sampled_from(SpecKind))
    words = draw(st.lists(clause_texts, min_size=1, max_size=4, unique=True))
    clauses = tuple(
        Clause(f"c{number}", text, polarity_of(kind, text), PERSON)
        for number, text in enumerate(words, 1)
    )
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(ExampleVerdict), texts, st.one_of(st.just(""), texts)),
            max_size=3,
            unique=True,
        )
    )
    examples = tuple(
        SpecExample(f"e{number}", output, verdict, PERSON, input, "c1", "it says so")
        for number, (verdict, output, input) in enumerate(keys, 1)
    )
    return SpecContent(kind, "Name", clauses, examples)


@given(contents())
def test_content_survives_kilns_fields_with_what_was_known_of_it(content: SpecContent) -> None:
    fields = fields_from(content)
    properties_of(content.kind, fields)
    assert content_from(content.kind, "Name", fields, content) == content


@given(contents())
def test_the_fields_alone_give_the_same_clauses_and_examples(content: SpecContent) -> None:
    form = FORMS[content.kind]
    fields = fields_from(content)
    copy = content_from(content.kind, "Name", fields)
    assert [clause.text for clause in copy.clauses] == [clause.text for clause in content.clauses]
    fielded = [e for e in content.examples if e.verdict is ExampleVerdict.FAIL or form.good]
    assert sorted((e.verdict, e.input, e.output, e.reason) for e in copy.examples) == sorted(
        (e.verdict, e.input, e.output, e.reason) for e in fielded
    )
    assert fields_from(copy) == fields


@given(contents(), clause_texts)
def test_what_others_add_gets_a_new_id_and_all_else_keeps_its_own(
    content: SpecContent, text: str
) -> None:
    fields = fields_from(content)
    detail = FORMS[content.kind].detail
    added = f"Zz {text}"
    changed = content_from(
        content.kind, "Name", {**fields, detail: f"{fields[detail]}\n- {added}"}, content
    )
    assert [c for c in changed.clauses if c.text != added] == [*content.clauses]
    (new,) = [clause for clause in changed.clauses if clause.text == added]
    assert new.id == f"c{len(content.clauses) + 1}"
    assert new.origin == Origin("file")


@pytest.mark.parametrize("kind", SpecKind)
def test_required_fields_for_examples_are_never_empty(kind: SpecKind) -> None:
    content = SpecContent(kind, "N", (Clause("c1", "It is right.", Polarity.MUST, PERSON),))
    values = properties_of(kind, fields_from(content)).model_dump()
    assert all(values[name] for name in FORMS[kind].required)
    assert content_from(kind, "N", {n: str(v) for n, v in values.items() if v}).examples == ()


def test_a_field_of_prose_by_others_is_split_into_its_sentences() -> None:
    fields = {
        "core_requirement": "Be kind.",
        "tone_description": "Name the order. No blame.\n1. Thank\n   the customer\n\nBe kind.",
        "acceptable_examples": "Thank you.\n\nI am sorry.",
        "unacceptable_examples": "Input: Help?\nOutput: No.\nReason: rude\nInput: a\nOutput: b",
    }
    content = content_from(SpecKind.TONE, "N", fields)
    assert [(c.id, c.text, c.polarity) for c in content.clauses] == [
        ("c1", "Be kind.", Polarity.MUST),
        ("c2", "Name the order.", Polarity.MUST),
        ("c3", "No blame.", Polarity.MUST),
        ("c4", "Thank the customer", Polarity.MUST),
    ]
    assert [(e.input, e.output, e.reason) for e in content.examples] == [
        ("", "Thank you.", ""),
        ("", "I am sorry.", ""),
        ("Help?", "No.", "rude"),
        ("a", "b", ""),
    ]


def test_an_example_of_a_clause_that_is_gone_names_it_no_more() -> None:
    clauses = (
        Clause("c1", "Be kind.", Polarity.MUST, PERSON),
        Clause("c2", "Be brief.", Polarity.MUST, PERSON),
    )
    example = SpecExample("e1", "Fool.", ExampleVerdict.FAIL, PERSON, clause="c2")
    content = SpecContent(SpecKind.BIAS, "N", clauses, (example,))
    fields = {**fields_from(content), "core_requirement": "Be kind."}
    changed = content_from(SpecKind.BIAS, "N", fields, content)
    assert changed.examples == (replace(example, clause=""),)


def test_passing_examples_of_a_kind_without_a_field_for_them_are_kept() -> None:
    example = SpecExample("e1", "Hello.", ExampleVerdict.PASS, PERSON)
    clause = Clause("c1", "No insult.", Polarity.MUST_NOT, PERSON)
    content = SpecContent(SpecKind.TOXICITY, "N", (clause,), (example,))
    changed = content_from(SpecKind.TOXICITY, "N", {"core_requirement": "No threat."}, content)
    assert changed.examples == (example,)


@pytest.mark.parametrize(
    ("kind", "text", "polarity"),
    [
        (SpecKind.ISSUE, "It deletes the disk.", Polarity.MUST_NOT),
        (SpecKind.ISSUE, "The date must be ISO.", Polarity.MUST),
        (SpecKind.TONE, "It doesn\u2019t blame.", Polarity.MUST),
        (SpecKind.TONE, "It says that the order cannot be returned.", Polarity.MUST),
        (SpecKind.ISSUE, "It does not answer the question.", Polarity.MUST_NOT),
        (SpecKind.ISSUE, 'Not "rude" means: no insult.', Polarity.MUST),
        (SpecKind.TONE, "Es grüßt.", Polarity.MUST),
    ],
)
def test_an_issue_describes_a_fault_and_other_clauses_a_wish(
    kind: SpecKind, text: str, polarity: Polarity
) -> None:
    assert polarity_of(kind, text) is polarity


def test_an_output_that_looks_like_a_label_or_a_list_stays_one_output() -> None:
    examples = (
        ExampleText("- a\n- b\n\n  c"),
        ExampleText("Why: because", "Input: x\nOutput: y", "two\n\nlines"),
    )
    assert read_examples(write_examples(examples)) == examples
    assert write_examples([]) == ""
    assert read_examples(NO_EXAMPLES)[0].output == NO_EXAMPLES
