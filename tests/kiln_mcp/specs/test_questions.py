"""Questions by kind of weakness, and what their answers change. Pure."""

from dataclasses import replace

import pytest

from kiln_mcp.spec_texts.session_events import AnswerGiven, AskedQuestion, Draft, SpecSession
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    FindingKind,
    Origin,
    Polarity,
    QuestionOption,
    SpecContent,
    SpecExample,
    SpecQuestion,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.answer_clauses import assume_answers, needs_words, take_answer
from kiln_mcp.specs.draft_edits import edit_draft
from kiln_mcp.specs.questions import QuestionPool, questions_about, with_ids
from kiln_mcp.specs.real_outputs import RealOutput
from kiln_mcp.specs.revisions import PERSON, Reason, Revision

ORIGIN = Origin("person", "wish")
FIRST = Clause("c1", "It names the order and must greet.", Polarity.MUST, ORIGIN)
SECOND = Clause("c2", "It must not greet.", Polarity.MUST_NOT, ORIGIN)
BOTH = (
    SpecExample("e1", "Hello.", ExampleVerdict.FAIL, ORIGIN, "Hi"),
    SpecExample("e2", "Bye.", ExampleVerdict.PASS, ORIGIN),
)
CONTENT = SpecContent(SpecKind.TONE, "Greeting", (FIRST, SECOND), BOTH)
DRAFT = Draft(id="d1", content=CONTENT)


def finding(kind: FindingKind, words: str, *, clause: str = "c1", mend: str = "") -> Finding:
    why = f'This and "{SECOND.text}" differ.'
    return Finding("f1", kind, words, why, "rules", clause, mend)


def ask(draft: Draft, *findings: Finding, outputs: int = 0) -> SpecSession:
    """Return a session with the questions about a draft."""
    pool = QuestionPool([RealOutput(f"{n}", f"in {n}", f"out {n}") for n in range(outputs)])
    questions = with_ids(questions_about(draft, findings, pool), 1)
    return SpecSession(
        id="s", drafts={"d1": draft}, questions={q.question.id: q for q in questions}
    )


def after(session: SpecSession, text: str, question: str = "q1") -> Revision:
    revision = Revision(session)
    take_answer(revision, question, text)
    return revision


def texts(revision: Revision) -> list[str]:
    return [clause.text for clause in revision.draft("d1").content.clauses]


def test_of_two_demands_in_one_clause_only_the_chosen_one_stays() -> None:
    session = ask(DRAFT, finding(FindingKind.COMPOUND, FIRST.text, mend="It names the order."))
    chosen = after(session, "Only this matters: It names the order.")
    assert texts(chosen) == ["It names the order.", SECOND.text]
    kept = after(session, "It fails: all are needed")
    assert (kept.drafts, kept.answers[0].clause) == ({}, "c1")
    assert ask(DRAFT, finding(FindingKind.COMPOUND, "x")).questions["q1"].question.options[1:] == ()


def test_of_two_clauses_that_contradict_each_other_the_chosen_one_stays() -> None:
    session = ask(DRAFT, finding(FindingKind.CONFLICTING, FIRST.text))
    assert texts(after(session, FIRST.text)) == [FIRST.text]
    assert texts(after(session, SECOND.text)) == [SECOND.text]
    other = ask(DRAFT, finding(FindingKind.CONFLICTING, FIRST.text, mend="It may greet."))
    assert texts(after(other, "It may greet.")) == ["It may greet.", SECOND.text]
    gone = replace(session.questions["q1"].question, clause="c9")
    entry = session.questions["q1"].model_copy(update={"question": gone})
    session = session.model_copy(update={"questions": {"q1": entry}})
    assert texts(after(session, FIRST.text)) == [FIRST.text, SECOND.text]


def test_an_output_on_both_sides_gets_the_verdict_of_the_answer() -> None:
    session = ask(DRAFT, finding(FindingKind.CONTRADICTING_EXAMPLES, "Hello."))
    revision = after(session, "It passes")
    (changed,) = [e for e in revision.draft("d1").content.examples if e.output == "Hello."]
    assert (changed.id, changed.verdict, changed.input) == ("e1", ExampleVerdict.PASS, "Hi")


def test_what_an_output_must_show_is_asked_and_a_proposed_text_is_an_option() -> None:
    session = ask(
        DRAFT,
        finding(FindingKind.UNJUDGEABLE, "the order", mend="It holds the order's number."),
        finding(FindingKind.UNDERSPECIFIED, ""),
        finding(FindingKind.VACUOUS, "", clause=""),
    )
    assert texts(after(session, "1"))[-1] == "It holds the order's number."
    assert texts(after(session, "a number"))[-1] == 'For "the order": a number.'
    assert texts(after(session, "no", "q2"))[-1].startswith('For "')
    assert [q.question.clause for q in session.questions.values()] == ["c1", "c1", ""]


def test_each_output_is_shown_once_and_no_question_twice() -> None:
    draft = Draft(id="d1", content=replace(CONTENT, examples=()))
    session = ask(draft, finding(FindingKind.SUBJECTIVE, "greet"), outputs=1)
    (entry,) = [q for q in session.questions.values() if q.run]
    assert entry.question.output == "out 0"
    pool = QuestionPool([], list(session.questions.values()))
    assert questions_about(draft, [finding(FindingKind.SUBJECTIVE, "greet")], pool) == []
    assert questions_about(Draft(id="d1", content=replace(CONTENT, clauses=())), [], pool) == []


def test_an_answer_to_a_draft_that_is_gone_or_that_was_not_asked_is_named() -> None:
    session = ask(DRAFT, finding(FindingKind.SUBJECTIVE, "greet"))
    dropped = session.model_copy(
        update={"drafts": {"d1": DRAFT.replace(is_dropped=True)}, "answers": {}}
    )
    assert after(dropped, "yes").unused_answers == ["q1: its draft was dropped."]
    assert after(dropped, "yes", "May it joke?").unused_answers != []
    revision = Revision(session)
    assert needs_words(revision, "q1", "own words") is not None
    assert needs_words(revision, "q1", "?") is None
    assert needs_words(revision, "q7", "own words") is None


@pytest.mark.parametrize(
    ("answer", "verdict", "clauses"),
    [("passes", "pass", 2), ("No.", "fail", 2), ("It fails: no name", "fail", 3), ("hm", "", 3)],
)
def test_a_verdict_in_own_words_settles_the_output(answer: str, verdict: str, clauses: int) -> None:
    draft = Draft(id="d1", content=replace(CONTENT, examples=()))
    session = ask(draft, outputs=1)
    revision = after(session, answer)
    assert [str(e.verdict) for e in revision.draft("d1").content.examples] == [verdict] * bool(
        verdict
    )
    assert len(texts(revision)) == clauses


def test_a_verdict_is_never_assumed_and_a_replacement_is() -> None:
    session = ask(DRAFT, finding(FindingKind.COMPOUND, FIRST.text))
    revision = Revision(session)
    (line,) = assume_answers(revision)
    assert "Assumed: It fails: all are needed" in line
    bare = SpecQuestion("q1", "What?", (QuestionOption("yes", ""),))
    entry = AskedQuestion(draft="d1", question=bare)
    session = session.model_copy(update={"questions": {"q1": entry}})
    assert assume_answers(Revision(session)) == []
    assert texts(after(session, "yes")) == [FIRST.text, SECOND.text]
    assert AnswerGiven(question="q1", text="yes").clause == ""


def later_revision(revision: Revision) -> Revision:
    """Return the next call's revision, after one was saved."""
    session = revision.session
    edits = {**session.edits, **{edit.id: edit for edit in revision.edits}}
    drafts = {**session.drafts, **revision.drafts}
    return Revision(SpecSession(id="s", drafts=drafts, edits=edits))


def outputs_in(revision: Revision) -> dict[str, str]:
    return {e.id: e.output for e in revision.draft("d1").content.examples}


def test_examples_are_changed_removed_and_brought_back() -> None:
    reason = Reason("r", PERSON, "you")
    first = Revision(SpecSession(id="s", drafts={"d1": DRAFT}))
    edit_draft(first, "e1", "Hello you.", reason)
    edit_draft(first, "e2", "", reason)
    assert outputs_in(first) == {"e1": "Hello you."}
    assert [(edit.old, edit.new) for edit in first.edits] == [
        ("fail: Hello.", "fail: Hello you."),
        ("pass: Bye.", ""),
    ]
    second = later_revision(first)
    edit_draft(second, "x1", "Hello there.", reason)
    assert outputs_in(second) == {"e1": "Hello there."}
    third = later_revision(second)
    for edit in ("x1", "x2", "x2"):
        edit_draft(third, edit, "", reason)
    assert {e.id: e for e in third.draft("d1").content.examples} == {e.id: e for e in BOTH}
    assert third.unused_answers == []


def test_an_added_example_is_taken_back_and_cannot_be_changed_then() -> None:
    reason = Reason("r", PERSON, "you")
    first = Revision(SpecSession(id="s", drafts={"d1": DRAFT}))
    first.set_example("d1", replace(BOTH[0], id="e3", output="Hey."), reason)
    second = later_revision(first)
    edit_draft(second, "x1", "", reason)
    assert set(outputs_in(second)) == {"e1", "e2"}
    third = later_revision(second)
    edit_draft(third, "x1", "", reason)
    assert third.unused_answers == []
    edit_draft(third, "x1", "Other.", reason)
    assert third.unused_answers == ["x1: the example e3 is gone."]
    assert third.new_example_id("d1") == "e4"


def test_a_clause_comes_back_with_who_said_it() -> None:
    reason = Reason("r", PERSON, "you")
    first = Revision(SpecSession(id="s", drafts={"d1": DRAFT}))
    edit_draft(first, "c1", "It names the order.", reason)
    edit_draft(first, "c2", "", reason)
    stored = later_revision(first).session.model_dump_json()
    second = Revision(SpecSession.model_validate_json(stored))
    for edit in ("x1", "x2", "x1"):
        edit_draft(second, edit, "", reason)
    assert [*second.draft("d1").content.clauses] == [FIRST, SECOND]


def test_a_dropped_draft_is_brought_back_by_its_edit_alone() -> None:
    reason = Reason("r", PERSON, "you")
    first = Revision(SpecSession(id="s", drafts={"d1": DRAFT}))
    edit_draft(first, "c2", "It must not shout.", reason)
    edit_draft(first, "d1", "", reason)
    second = later_revision(first)
    edit_draft(second, "x1", "", reason)
    assert second.unused_answers == ["x1: its draft was dropped."]
    edit_draft(second, "x2", "", reason)
    assert not second.draft("d1").is_dropped
    assert [edit.state for edit in second.edits] == ["restored"]


def test_edits_of_settings_and_fields_are_taken_back_too() -> None:
    reason = Reason("r", PERSON, "you")
    revision = Revision(SpecSession(id="s", drafts={"d1": DRAFT}))
    edit_draft(revision, "name", "Other", reason)
    edit_draft(revision, "core_requirement", "It must say hello.", reason)
    edits = {edit.id: edit for edit in revision.edits}
    later = Revision(SpecSession(id="s", drafts=dict(revision.drafts), edits=edits))
    edit_draft(later, "x1", "", reason)
    edit_draft(later, "x2", "", reason)
    content = later.draft("d1").content
    assert content.name == "Greeting"
    assert content.clauses[0].text == FIRST.text
    assert [edit.state for edit in later.edits] == ["restored", "restored"]
