"""What the rules find by comparing and counting, and what they leave alone."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import JsonValue

from kiln_mcp.spec_texts.example_checks import contrastive_pairs
from kiln_mcp.spec_texts.findings import is_alarm, is_missing_example
from kiln_mcp.spec_texts.spec_checks import CheckContext, check_content, rules_note
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    FindingKind,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind

FILE = Origin("file")
PASS, FAIL = ExampleVerdict.PASS, ExampleVerdict.FAIL
TICKET: dict[str, JsonValue] = {
    "type": "object",
    "properties": {
        "priority": {"type": "string", "enum": ["low", "high"]},
        "lines": {"type": "array", "items": {"properties": {"unit_price": {"type": "number"}}}},
        "note": {"anyOf": [{"type": "string"}, {"properties": {"text_de": {"type": "string"}}}]},
    },
    "additionalProperties": False,
}


def content(
    *clauses: str,
    bans: Sequence[str] = (),
    examples: Sequence[tuple[ExampleVerdict, str, str]] = ((PASS, "", "Yes."), (FAIL, "", "No.")),
    kind: SpecKind = SpecKind.DESIRED_BEHAVIOUR,
) -> SpecContent:
    texts = [(Polarity.MUST, text) for text in clauses]
    texts += [(Polarity.MUST_NOT, text) for text in bans]
    return SpecContent(
        kind=kind,
        name="Refunds",
        clauses=[
            Clause(f"c{number}", text, polarity, FILE)
            for number, (polarity, text) in enumerate(texts, 1)
        ],
        examples=[
            SpecExample(f"e{number}", output, verdict, FILE, input=text)
            for number, (verdict, text, output) in enumerate(examples, 1)
        ],
    )


def findings(spec: SpecContent, context: CheckContext | None = None) -> tuple[Finding, ...]:
    return check_content(spec, context or CheckContext())


def alarms(spec: SpecContent, context: CheckContext | None = None) -> list[tuple[str, str, str]]:
    return [
        (str(item.kind), item.clause, item.words)
        for item in findings(spec, context)
        if is_alarm(item)
    ]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            "The reply has at most 50 words.",
            "The reply has at least 100 words.",
            "at least 100 words",
        ),
        ("Keep the reply under 20 words.", "The reply has 40 to 60 words.", "40 to 60 words"),
        ("Use exactly five bullets.", "Use at most 3 bullets.", "at most 3 bullets"),
        ("Höchstens 2 Sätze.", "Die Antwort hat mehr als 4 Sätze.", "mehr als 4 sätze"),
        ("返信は50文字以内とする。", "返信は120文字以上とする。", "120文字以上"),
        ("返信は80文字を超えない。", "返信は100文字超とする。", "100文字超"),
        ("返信は80字未満とする。", "返信は100字以上とする。", "100字以上"),
        ("Write at most 1.5 paragraphs.", "At least 2 paragraphs.", "at least 2 paragraphs"),
        ("Au plus 1,000 mots.", "Au moins 1.200 mots.", "au moins 1.200 mots"),
        (
            "The reply is not longer than 10 lines.",
            "The reply has 12 lines or more.",
            "12 lines or more",
        ),
    ],
)
def test_lengths_that_exclude_each_other_conflict(first: str, second: str, words: str) -> None:
    assert alarms(content(first, second)) == [("conflicting", "c2", words)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The title has at most 8 words.", "The text has at least 60 words."),
        ("Each bullet has at most 12 words.", "The reply has at least 100 words."),
        ("The opening has at most 20 words.", "The reply has at least 50 words."),
        ("The reply has at least 20 words.", "The reply has no more than 100 words."),
        ("If it is urgent, at most 10 words.", "The reply has at least 50 words."),
        ("Shorten the text from 200 to 100 words.", "The reply has at most 120 words."),
        ("Kein Satz hat mehr als 12 Wörter.", "Der Text hat mindestens 50 Wörter."),
        ("見出しは20文字以内とする。", "説明文は80文字以上とする。"),
        ("Antworte in höchstens 3 Sätzen.", "Die Antwort hat mindestens 20 Wörter."),
        ("3行目に名前を書く。", "返信は2行以内とする。"),
    ],
)
def test_lengths_of_other_parts_cases_and_units_do_not(first: str, second: str) -> None:
    assert alarms(content(first, second)) == []


def test_a_prohibition_turns_its_limit_round() -> None:
    spec = content("The reply has at least 100 words.", bans=["The reply has more than 50 words."])
    assert alarms(spec) == [("conflicting", "c2", "more than 50 words")]
    spec = content("The reply has at most 50 words.", bans=["The reply has fewer than 90 words."])
    assert alarms(spec) == [("conflicting", "c2", "fewer than 90 words")]


@pytest.mark.parametrize(
    "ban",
    [
        "The reply is not longer than 50 words.",
        "Never more than 50 words.",
        "The reply does not have more than 50 words.",
    ],
)
def test_a_prohibition_in_its_own_words_is_read_as_it_stands(ban: str) -> None:
    assert alarms(content("The reply has at most 40 words.", bans=[ban])) == []
    assert alarms(content("The reply has at least 60 words.", bans=[ban]))


def test_a_negation_inside_of_a_prohibition_leaves_its_limit_open() -> None:
    ban = "The reply has more than 50 words that the customer did not use."
    assert alarms(content("The reply has at least 60 words.", bans=[ban])) == []
    fault = "The reply never has more than 50 words."
    spec = content("The reply has at least 60 words.", bans=[fault], kind=SpecKind.ISSUE)
    assert alarms(spec) == []


def test_a_range_that_no_number_meets_conflicts_with_itself() -> None:
    assert alarms(content("Write between 90 and 50 words.")) == [
        ("conflicting", "c1", "90 and 50 words")
    ]


def test_a_limit_is_compared_with_the_instruction() -> None:
    context = CheckContext(instruction="Answer tickets. The reply has at least 100 words.")
    assert alarms(content("The reply has at most 50 words."), context) == [
        ("conflicting", "c1", "at most 50 words")
    ]


def test_an_amount_that_a_document_gives_otherwise_is_a_hint() -> None:
    policy = {"Returns": "Unworn shoes can be returned for a refund within 14 days of delivery."}
    spec = content("The reply says that unworn shoes can be returned for a refund for 30 days.")
    (hint,) = [item for item in findings(spec, CheckContext(documents=policy)) if item.words]
    assert (hint.kind, hint.words) == (FindingKind.CONFLICTING, "30 days")
    assert not is_alarm(hint)


@pytest.mark.parametrize(
    "clause",
    [
        "The reply says that unworn shoes can be returned for a refund for 14 days.",
        "After 15 days the reply says that unworn shoes cannot be returned for a refund.",
        "The reply is sent within 2 days.",
        "The reply says that unworn shoes can be returned for a refund until 3月5日.",
    ],
)
def test_amounts_that_agree_or_are_of_other_things_are_none(clause: str) -> None:
    policy = {"Returns": "Unworn shoes can be returned for a refund within 14 days of delivery."}
    assert [
        item for item in findings(content(clause), CheckContext(documents=policy)) if item.words
    ] == []


def test_examples_on_both_sides_of_one_input_are_a_strength() -> None:
    pair = [(PASS, "Where is it?", "It is late."), (FAIL, "Where is it?", "No idea.")]
    spec = content("The reply names the delay.", examples=pair)
    assert alarms(spec) == []
    assert contrastive_pairs(spec) == (("e1", "e2"),)


@pytest.mark.parametrize(
    ("good", "bad", "is_fault"),
    [
        (("a", "Yes."), ("a", "Yes."), True),
        (("", "Yes."), ("a", "Yes."), True),
        (("a", "Yes."), ("b", "Yes."), False),
        (("a", "Yes."), ("a", "yes."), False),
        (("a", "Ann\nBo"), ("a", "Ann Bo"), False),
        (("a", ""), ("a", ""), False),
    ],
)
def test_equal_examples_with_opposite_verdicts_contradict(
    good: tuple[str, str], bad: tuple[str, str], is_fault: bool
) -> None:
    spec = content("The reply agrees.", examples=[(PASS, *good), (FAIL, *bad)])
    assert alarms(spec) == ([("contradicting_examples", "", good[1])] if is_fault else [])


def test_a_passing_example_may_not_be_longer_than_a_clause_allows() -> None:
    long = "word " * 40
    examples = [(PASS, "", long), (PASS, "", f"… {long}"), (FAIL, "", "x")]
    assert alarms(content("The reply has at most 20 words.", examples=examples)) == [
        ("contradicting_examples", "c1", long)
    ]
    for clause in ("The teaser has at most 20 words.", "The reply has at most 2 paragraphs."):
        assert alarms(content(clause, examples=examples)) == []
    three = [(PASS, "", "a\nb\nc"), (FAIL, "", "x")]
    assert alarms(content("The reply has at most 2 lines.", examples=three))
    assert alarms(
        content("返信は10文字以内とする。", examples=[(PASS, "", "あ" * 30), (FAIL, "", "x")])
    )


def test_missing_examples_are_hints_and_no_alarms() -> None:
    items = findings(content("The reply names the delay.", examples=[]))
    assert [is_missing_example(item) for item in items] == [True, True]
    assert not any(map(is_alarm, items))
    assert len({item.id for item in items}) == 2
    assert len(findings(content("No insult.", examples=[], kind=SpecKind.TOXICITY))) == 1


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        ("The field `due_date` has the form YYYY-MM-DD.", "`due_date`"),
        ("`lines[0].total_price` is a number.", "`lines[0].total_price`"),
        ("Das Feld due_date ist ein Datum.", "due_date"),
        ("項目 `nouhin` は日付とする。", "`nouhin`"),
        ('If it burns, `priority` is "urgent".', "urgent"),
        ("Field priority is 'urgent.'", "urgent"),
    ],
)
def test_fields_and_values_that_the_schema_lacks_conflict(clause: str, words: str) -> None:
    context = CheckContext(output_schema=TICKET)
    assert alarms(content(clause), context) == [("conflicting", "c1", words)]


@pytest.mark.parametrize(
    "clause",
    [
        'If it burns, `priority` is "high".',
        "`lines[0].unit_price` is a number, and `note.text_de` is German.",
        "Keys are in snake_case.",
        "Every `YYYY-MM-DD` is a real day.",
        "The model calls `get_order` first.",
        "It uses {customer_name} and $first_name.",
        "`order_id` of the input is repeated in the note.",
        'If the priority in the input is "urgent", the note says so.',
        "The key `priority` is `high`.",
    ],
)
def test_other_identifiers_do_not(clause: str) -> None:
    schema: dict[str, JsonValue] = {"properties": {"order_id": {"type": "string"}}}
    context = CheckContext(input_schema=schema, output_schema=TICKET)
    assert alarms(content(clause), context) == []


def test_an_open_schema_and_a_tool_spec_leave_room_for_further_names() -> None:
    schema: dict[str, JsonValue] = {**TICKET, "additionalProperties": True}
    spec = content("The field `due_date` is a day.")
    assert alarms(spec, CheckContext(output_schema=schema)) == []
    tool = replace(spec, kind=SpecKind.APPROPRIATE_TOOL_USE)
    assert alarms(tool, CheckContext(output_schema=TICKET)) == []
    assert alarms(spec, CheckContext(output_schema={"type": "string"})) == []


def test_what_the_schema_enforces_or_forbids_anyway_is_vacuous() -> None:
    context = CheckContext(output_schema=TICKET)
    clause = "`priority` is one of low or high."
    assert alarms(content(clause), context) == [("vacuous", "c1", clause)]
    assert alarms(content("`priority` is high for a fire or low for a question."), context) == []
    assert alarms(content(bans=['`priority` is "urgent".']), context) == [
        ("vacuous", "c1", "urgent")
    ]
    assert alarms(content(bans=[clause]), context) == []


@pytest.mark.parametrize(
    ("output", "is_fault"),
    [
        ('{"priority": "urgent"}', True),
        ('{"priority": "low", "extra": 1}', True),
        ('{"priority": "low"}', False),
        ('{"priority": ', False),
        ("priority: urgent", False),
    ],
)
def test_a_passing_example_obeys_the_schema(output: str, is_fault: bool) -> None:
    spec = content("The note is German.", examples=[(PASS, "", output), (FAIL, "", '{"extra": 1}')])
    assert bool(alarms(spec, CheckContext(output_schema=TICKET))) is is_fault


def test_empty_and_repeated_clauses_are_found() -> None:
    spec = content("The reply names the delay.", "the reply names the delay", " -- ")
    assert alarms(spec) == [
        ("vacuous", "c3", " -- "),
        ("vacuous", "c2", "the reply names the delay"),
    ]
    opposite = content("The reply names the delay.", bans=["The reply names the delay."])
    assert alarms(opposite)[0] == ("conflicting", "c2", "The reply names the delay.")


@pytest.mark.parametrize(
    ("clause", "instruction", "is_fault"),
    [
        ("The reply mentions the order number.", "Do not mention the order number.", True),
        (
            "Die Antwort nennt den Preis der Ware.",
            "Die Antwort nennt nicht den Preis der Ware.",
            True,
        ),
        ("返信に支店の名前を書く。", "返信に支店の名前を書かない。", True),
        ("The reply mentions the order number.", "Do not mention the order number twice.", False),
        (
            "The reply mentions the order number.",
            "Do not mention the order number if it is new.",
            False,
        ),
        ("The reply mentions the order number.", "Mention the order number.", False),
        ("Le prix est dans la réponse.", "Le prix n'est pas dans la réponse.", False),
    ],
)
def test_a_clause_against_the_instruction_in_the_same_words_conflicts(
    clause: str, instruction: str, is_fault: bool
) -> None:
    found = alarms(content(clause), CheckContext(instruction=instruction))
    assert found == ([("conflicting", "c1", clause)] if is_fault else [])


def test_clauses_with_opposite_signs_conflict() -> None:
    spec = content("The reply mentions the order number.", "Never mention the number of the order.")
    assert alarms(spec) == [("conflicting", "c2", "Never mention the number of the order.")]
    double = "The reply does not leave out the order number and never hides it."
    assert alarms(content("The reply mentions the order number.", double)) == []


def test_another_spec_may_not_say_the_same_or_the_opposite() -> None:
    spec = content(
        "The reply names the delay of the parcel, its reason and the new date of delivery."
    )
    twin = replace(spec, name="Delays")
    assert alarms(spec, CheckContext(other_specs=[twin])) == [("vacuous", "", "Refunds")]
    banned = replace(spec, clauses=[replace(spec.clauses[0], polarity=Polarity.MUST_NOT)])
    assert alarms(spec, CheckContext(other_specs=[banned]))[0][0] == "conflicting"
    longer = content(f"{spec.clauses[0].text[:-1]}, again.")
    assert alarms(spec, CheckContext(other_specs=[longer])) == [("vacuous", "", "Refunds")]


@pytest.mark.parametrize(
    "other",
    [
        "The reply names the delay of the parcel, its reason and the new place of delivery.",
        "The reply is German.",
        "",
    ],
)
def test_parallel_specs_are_no_duplicates(other: str) -> None:
    spec = content(
        "The reply names the delay of the parcel, its reason and the new date of delivery."
    )
    assert alarms(spec, CheckContext(other_specs=[content(other)])) == []


def test_specs_with_other_numbers_are_no_duplicates() -> None:
    spec = content("A standard parcel is promised to the customer within 5 days of the order.")
    other = content("A standard parcel is promised to the customer within 9 days of the order.")
    assert alarms(spec, CheckContext(other_specs=[other])) == []


@pytest.mark.parametrize(
    ("text", "is_fault"),
    [
        ("The reply must name the date.", True),
        ("Die Antwort muss das Datum nennen.", True),
        ("返信は日付を書くべきである。", True),
        ("The reply does not name the date.", False),
        ("The reply says that the customer must pay twice.", False),
        ("The reply must not name the date.", False),
    ],
)
def test_an_issue_that_describes_the_right_output_is_found(text: str, is_fault: bool) -> None:
    spec = content(bans=[text], kind=SpecKind.ISSUE)
    assert alarms(spec) == ([("underspecified", "c1", text)] if is_fault else [])


@pytest.mark.parametrize(
    ("clause", "kind"),
    [
        ("The text of the page is beautiful and has a date.", FindingKind.SUBJECTIVE),
        ("The reply has an appropriate length for the case.", FindingKind.UNDERSPECIFIED),
        ("The customer feels welcome after the reply.", FindingKind.UNJUDGEABLE),
        ("The reply follows the brand handbook.", FindingKind.MISSING_REFERENCE),
        ("The reply may or may not have a greeting.", FindingKind.VACUOUS),
        ("The reply must name the date and must name the place.", FindingKind.COMPOUND),
        ("The reply is polite.", FindingKind.UNDERSPECIFIED),
        ("Die Antwort ist sehr kurz und die Anrede fehlt nicht.", FindingKind.UNDERSPECIFIED),
        ("返信は丁寧である。", FindingKind.UNDERSPECIFIED),
        ("Der Text ist schön und kurz.", FindingKind.SUBJECTIVE),
        ("Die Antwort wird gemäß dem Leitfaden geschrieben.", FindingKind.MISSING_REFERENCE),
        ("返信は適切な長さにする。", FindingKind.UNDERSPECIFIED),
        ("文は魅力的である。", FindingKind.SUBJECTIVE),
    ],
)
def test_words_give_hints_in_the_languages_that_are_known(clause: str, kind: FindingKind) -> None:
    hints = [item for item in findings(content(clause)) if item.kind is kind and item.words]
    assert hints
    assert not any(map(is_alarm, hints))


@pytest.mark.parametrize(
    "clause",
    [
        "The reply is appropriate: it has no insult and no sarcasm.",
        'The reply does not use the word "beautiful".',
        "The reply asks how the customer feels.",
        "Die Antwort sagt, ob der Laden geöffnet ist oder nicht.",
        "The reply says whether the parcel is insured or not.",
        "返信は「適切な」という語を使わない。",
        "El texto es nice y appropriate para los clientes.",
        "Het antwoord is niet nice en de tekst is appropriate.",
    ],
)
def test_explained_and_quoted_words_and_other_languages_give_none(clause: str) -> None:
    assert [item for item in findings(content(clause)) if item.words] == []


def test_a_word_that_another_clause_defines_gives_none() -> None:
    spec = content("The reply is polite.", '"polite" means: no insult and no sarcasm.')
    assert [item for item in findings(spec) if item.words] == []


def test_a_reference_at_hand_is_not_missing() -> None:
    spec = content("The reply follows the brand handbook.")
    context = CheckContext(documents={"Brand handbook": "Say hello."})
    assert [item for item in findings(spec, context) if item.words] == []


def test_the_note_says_what_was_looked_for_and_in_which_language() -> None:
    assert "English" in rules_note(content("The reply is in the right form."))
    assert "no words" in rules_note(content("El texto es para los clientes."))
    assert "do not read meaning" in rules_note(content("The reply is short."))


def test_ids_stay_while_the_words_do() -> None:
    spec = content("The reply has at most 50 words.", "The reply has at least 100 words.")
    longer = replace(spec, clauses=[*spec.clauses, Clause("c3", "It ends.", Polarity.MUST, FILE)])
    assert {item.id for item in findings(spec)} <= {item.id for item in findings(longer)}


@pytest.mark.parametrize(
    "unit", ["7 words ", "short ", "`a_b` ", "not and ", 'is "x" ', "文字以内"]
)
def test_checks_are_quick_on_nasty_clauses(unit: str) -> None:
    clause = unit * (20_000 // len(unit))
    started = time.process_time()
    findings(content(clause, clause + "!"), CheckContext(clause, None, TICKET))
    assert time.process_time() - started < 5


def test_many_clauses_are_checked_in_milliseconds() -> None:
    spec = content(*(f"The reply names part {number} of the order." for number in range(200)))
    started = time.process_time()
    findings(spec, CheckContext(instruction="Answer the customer. " * 50))
    assert time.process_time() - started < 1
