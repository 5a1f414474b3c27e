import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.spec_texts.spec_kinds import SpecKind, properties_of
from kiln_mcp.specs.complaints import is_complaint, prohibition_of
from kiln_mcp.specs.draft_fields import fields_of_draft
from kiln_mcp.specs.drafts import distinct_names, draft_by_rules, short_name
from kiln_mcp.specs.kind_choice import choose_kind
from kiln_mcp.specs.questions import QuestionPool, questions_about
from kiln_mcp.specs.wishes import criteria_of
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


@given(st.text(min_size=1), st.one_of(st.none(), st.sampled_from(SpecKind)))
def test_any_wish_fills_any_kind_and_gets_names_that_the_format_allows(
    wish: str, kind: SpecKind | None
) -> None:
    drafts = draft_by_rules(wish, kind)
    for draft in drafts:
        content = draft.content
        assert properties_of(content.kind, fields_of_draft(draft)).spec_type == content.kind
        assert check_name(content.name, 32) == content.name
    assert len({draft.content.name.casefold() for draft in drafts}) == len(drafts)


@pytest.mark.parametrize(
    ("wish", "texts"),
    [
        ("Replies must be polite and short", ["Replies must be polite.", "Replies must be short."]),
        ("Be polite, short and correct", ["Be polite.", "Be short.", "Be correct."]),
        ("It must never promise a refund, and it should name the order",
         ["It must never promise a refund.", "It should name the order."]),
        ("Answer politely and never mention competitors",
         ["Answer politely.", "Never mention competitors."]),
        ("The bot lies and it curses", ["The bot lies.", "It curses."]),
        ("Replies must be polite. They must be friendly. They must not promise refunds.",
         ["Replies must be polite. They must be friendly.", "They must not promise refunds."]),
        ("Extract the city and the date", ["Extract the city and the date."]),
        ("The answer must be valid JSON with a city and a date",
         ["The answer must be valid JSON with a city and a date."]),
        ("Antworten sollen höflich und kurz sein", ["Antworten sollen höflich und kurz sein."]),
        ("I want that every reply ends with a question", ["Every reply ends with a question."]),
        ("Replies must not promise a delivery day, and the tone should be friendly",
         ["Replies must not promise a delivery day.", "The tone should be friendly."]),
        ("Replies must be short and the customer is never blamed",
         ["Replies must be short.", "The customer is never blamed."]),
        ("Don't be rude and keep it under 50 words",
         ["Don't be rude.", "Keep it under 50 words."]),
        ("The summary must be short but not omit the deadline",
         ["The summary must be short.", "The summary must not omit the deadline."]),
        ("Replies must be polite and include all dates",
         ["Replies must be polite.", "Replies must include all dates."]),
        ("Replies must not be rude, and in JSON", ["Replies must not be rude, and in JSON."]),
        ("Replies are short and never rude", ["Replies are short.", "Replies are never rude."]),
        ("Replies are friendly and never mention prices",
         ["Replies are friendly.", "Replies never mention prices."]),
        ("Replies must not be rude and long",
         ["Replies must not be rude.", "Replies must not be long."]),
        ("Be formal; don't promise refunds", ["Be formal.", "Don't promise refunds."]),
        ("返信は丁寧に書くこと。値引きを約束してはいけない。",
         ["返信は丁寧に書くこと。 値引きを約束してはいけない。"]),
        ("返信は丁寧に書くこと", ["返信は丁寧に書くこと。"]),
    ],
)  # fmt: skip
def test_each_criterion_of_a_wish_stands_by_itself(wish: str, texts: list[str]) -> None:
    assert [criterion.text for criterion in criteria_of(wish)] == texts


@pytest.mark.parametrize(
    ("text", "prohibition"),
    [
        ("It curses.", "It must not curse."),
        ("The bot sometimes crashes at night.", "The bot must not crash at night."),
        ("Replies are too long.", "Replies must not be too long."),
        ("It denies an error.", "It must not deny an error."),
        ("It's too long.", "It must not be too long."),
        ("Half of the answers are wrong.", "The answers must not be wrong."),
        ("The bot keeps asking.", "The bot must not keep asking."),
        ("Nothing works, wrong.", "Forbidden: Nothing works, wrong."),
        ("Emails to customers are rude.", "Forbidden: Emails to customers are rude."),
    ],
)
def test_a_complaint_becomes_what_must_not_be(text: str, prohibition: str) -> None:
    assert prohibition_of(text) == prohibition


def test_a_wish_that_demands_is_no_complaint() -> None:
    assert is_complaint("It lies.")
    assert not is_complaint("It must never lie.")
    assert not is_complaint("It is polite.")


@pytest.mark.parametrize(
    "text",
    [
        "Support answers are sometimes rude.",
        "Our support bot's replies are too long.",
        "Sometimes it makes up prices.",
        "It's too verbose.",
        "Too verbose.",
        "Wrong dates.",
        "The tone is rude.",
        "Half of the answers are wrong.",
        "Answers in German are often wrong.",
        "The summaries of meetings leave out decisions.",
        "Product descriptions invent features.",
        "Replies promise refunds we don't give.",
        "Customers complain that the tone is rude.",
        "Users sometimes get wrong prices.",
        "Die Antworten sind manchmal unhöflich.",
        "Der Bot erfindet immer wieder Preise.",
        "ボットはときどき失礼です。",
    ],
)
def test_a_report_of_a_fault_is_a_complaint(text: str) -> None:
    assert is_complaint(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tickets about wrong deliveries go to Logistics.",
        "Emails with bad news start kindly.",
        "Broken items get a refund.",
        "The reply says what is wrong.",
        "Avoid rude replies to customers.",
        "No rude answers.",
        "Say sorry if the order is wrong.",
        "If an order is wrong, the bot apologises.",
        "Replies to rude customers stay calm.",
        "The summary has no mistakes.",
        "Leider-Floskeln darf der Bot nie schreiben.",
    ],
)
def test_a_wish_that_names_a_fault_of_something_else_is_no_complaint(text: str) -> None:
    assert not is_complaint(text)


def test_quoted_text_of_a_negative_wish_becomes_an_example_that_fails() -> None:
    (draft,) = draft_by_rules('Never say "calm down" to an angry customer', SpecKind.TONE)
    assert fields_of_draft(draft)["unacceptable_examples"] == "- calm down"
    (draft,) = draft_by_rules("Greet people by name, such as: Hello Ann.", SpecKind.TONE)
    assert fields_of_draft(draft)["acceptable_examples"] == "- Hello Ann"


def test_a_kind_that_was_chosen_is_stated_as_an_assumption() -> None:
    assert "tone" in draft_by_rules("Be polite")[0].content.assumptions[0]
    assert draft_by_rules("Be polite", SpecKind.TONE)[0].content.assumptions == ()


def test_a_name_holds_the_telling_words_and_no_two_are_the_same() -> None:
    assert short_name("The answer must be valid JSON with a city") == "Valid JSON city"
    assert short_name("They promise refunds that we do not give") == "Promise refunds"
    assert short_name("Die Antworten sind zu lang") == "Die Antworten sind zu lang"
    assert draft_by_rules("  ", SpecKind.TONE)[0].content.name == "Requirement"
    assert draft_by_rules("Be kind", name="Own")[0].content.name == "Own"
    long = "a" * 32
    assert distinct_names(["A", "a", long], ["A", long]) == ["A 2", "a 3", f"{'a' * 30} 2"]


@pytest.mark.parametrize(
    ("wish", "texts"),
    [
        (
            "The support bot is sometimes rude, and it promises refunds that it cannot give",
            ["The support bot is sometimes rude.", "It promises refunds that it cannot give."],
        ),
        (
            "Replies are too long, and it quotes prices of last year",
            ["Replies are too long.", "It quotes prices of last year."],
        ),
        (
            "The bot is rude and makes up order numbers",
            ["The bot is rude.", "The bot makes up order numbers."],
        ),
    ],
)
def test_what_is_told_beside_a_complaint_is_a_complaint_too(wish: str, texts: list[str]) -> None:
    drafts = draft_by_rules(wish)
    assert [draft.content.clauses[0].text for draft in drafts] == texts
    assert {draft.content.kind for draft in drafts} == {SpecKind.ISSUE}


@pytest.mark.parametrize(
    ("wish", "forbidden"),
    [
        ("Der Bot ist unhöflich", "Verboten: Der Bot ist unhöflich."),
        ("ボットは失礼です", "禁止: ボットは失礼です"),
        ("Le bot est impoli avec les clients", "Forbidden: Le bot est impoli avec les clients."),
    ],
)
def test_a_wish_in_another_language_is_asked_whether_it_is_a_fault(
    wish: str, forbidden: str
) -> None:
    (draft,) = draft_by_rules(wish)
    (question, *_) = questions_about(draft, (), QuestionPool(()))
    assert "or is it a fault?" in question.question.text
    options = [option.clause for option in question.question.options]
    assert options[1].rstrip(".。") == forbidden.rstrip(".。")


@pytest.mark.parametrize("wish", ["Die Antwort muss höflich sein", "返信は丁寧でなければならない"])
def test_a_wish_in_another_language_that_says_what_has_to_be_is_not_asked(wish: str) -> None:
    (draft,) = draft_by_rules(wish)
    questions = questions_about(draft, (), QuestionPool(()))
    assert not any("is it a fault" in entry.question.text for entry in questions)


def test_how_often_a_fault_was_seen_is_not_asked_about() -> None:
    (draft,) = draft_by_rules("The support bot is sometimes rude")
    texts = [entry.question.text for entry in questions_about(draft, (), QuestionPool(()))]
    assert any('"not rude"' in text for text in texts)
    assert not any("sometimes" in text.partition("mean")[0] for text in texts)
