"""What a person's answer changes: a clause that carries the question's meaning, an example."""

import re
from typing import Final

from kiln_mcp.spec_texts.content_fields import one_line
from kiln_mcp.spec_texts.session_events import AnswerGiven, AskedQuestion
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, Origin, SpecExample, SpecQuestion
from kiln_mcp.specs.questions import clause_of
from kiln_mcp.specs.revisions import PERSON, Reason, Revision
from storage.text.excerpts import excerpt

_NON_ANSWERS: Final = frozenset(
    {"", "?", "skip", "not sure", "i don't know", "don't know", "unknown"}
)
_PASSES: Final = re.compile(r"^\W*(?:it )?(?:pass(?:es|ed)?|yes|ok(?:ay)?|good|fine|ja)\b", re.I)
_FAILS: Final = re.compile(r"^\W*(?:it )?(?:fail(?:s|ed)?|no|bad|wrong|nein)\b", re.IGNORECASE)
_LONGEST_CASE: Final = 120


def take_answer(revision: Revision, reference: str, text: str) -> None:
    """Take an answer to a question, which is named by its id or its text.

    Args:
        revision: The changes so far.
        reference: The question; one in words that nobody asked is one of the person's own.
        text: The answer: an option's text, its number from 1, or own words.
    """
    answer = one_line(text)
    entry = _question(revision, reference)
    if entry is None:
        ids = ", ".join(entry.question.id for entry in revision.session.open_questions) or "none"
        reason = f"{reference}: no question has it as its id or text; open: {ids}."
        revision.unused_answers.append(reason)
        return
    if _is_taken(revision, entry, answer):
        return
    if answer.casefold().rstrip(".") in _NON_ANSWERS:
        revision.unused_answers.append(f"{entry.question.id}: the answer leaves it open.")
        return
    if entry.draft not in revision.draft_ids:
        revision.unused_answers.append(f"{entry.question.id}: its draft was dropped.")
        return
    clause = _change(revision, entry, answer)
    revision.answers.append(AnswerGiven(question=entry.question.id, text=answer, clause=clause))


def assume_answers(revision: Revision) -> list[str]:
    """Take the first option of each open question, and return what was assumed, in words.

    Nobody said it: the clauses stay marked. A verdict of a real output is never assumed.
    """
    assumptions: list[str] = []
    for entry in revision.session.open_questions:
        question = entry.question
        options = [option for option in question.options if option.clause]
        if entry.verdicts or not options or entry.draft not in revision.draft_ids:
            continue
        reason = Reason(f"{question.text} {options[0].text}", "rules", question.id, is_assumed=True)
        if entry.effect == "replace":
            clause = _replace(revision, entry, options[0].clause, reason)
        else:
            clause = revision.set_clause(entry.draft, "", options[0].clause, reason)
        revision.answers.append(
            AnswerGiven(question=question.id, text=options[0].text, clause=clause)
        )
        assumptions.append(f"{entry.draft}.{clause}: {question.text} Assumed: {options[0].text}")
    return assumptions


def needs_words(revision: Revision, reference: str, text: str) -> AskedQuestion | None:
    """Return the question of an answer in own words, which a model can put better; None else."""
    entry, answer = _question(revision, reference), one_line(text)
    if entry is None or answer.casefold().rstrip(".") in _NON_ANSWERS:
        return None
    if _is_taken(revision, entry, answer):
        return None
    is_verdict = bool(entry.verdicts) and _is_bare(answer)
    return None if is_verdict or _option(entry.question, answer) is not None else entry


def _is_taken(revision: Revision, entry: AskedQuestion, answer: str) -> bool:
    """Return whether the session has this answer, so that a repeated call changes nothing."""
    earlier = revision.session.answers.get(entry.question.id)
    return earlier is not None and earlier.text == answer


def take_proposal(
    revision: Revision, entry: AskedQuestion, answer: str, edit: tuple[str, str, Reason]
) -> None:
    """Make the edit that a model proposes for an answer: a clause's id, or "", and its text."""
    clause = revision.set_clause(entry.draft, *edit)
    revision.answers.append(
        AnswerGiven(question=entry.question.id, text=one_line(answer), clause=clause)
    )


def _question(revision: Revision, reference: str) -> AskedQuestion | None:
    key = one_line(reference).casefold()
    for id, entry in revision.session.questions.items():
        if key in {id.casefold(), one_line(entry.question.text).casefold()}:
            return entry
    return revision.own_question(one_line(reference)) if " " in key else None


def _change(revision: Revision, entry: AskedQuestion, answer: str) -> str:
    """Change the draft by an answer; return the clause that it became, "" for none."""
    number = _option(entry.question, answer)
    reason = Reason(f"{entry.question.text} {answer}", PERSON, entry.question.id)
    verdict = _verdict(entry, answer, number)
    if verdict is not None:
        _settle_output(revision, entry, verdict, "" if number is not None else answer)
    if number is not None:
        text = entry.question.options[number].clause
    elif entry.clause_form == "{answer}":
        text = clause_of(_case_form(entry), answer)
    else:
        text = clause_of(entry.clause_form, answer)
    if not text or (verdict is not None and number is None and _is_bare(answer)):
        return ""
    if entry.effect == "replace" and number is not None:
        return _replace(revision, entry, text, reason)
    return revision.set_clause(entry.draft, _earlier_clause(revision, entry), text, reason)


def _earlier_clause(revision: Revision, entry: AskedQuestion) -> str:
    """Return the clause that an earlier answer to a question became, "" if there is none.

    Another answer takes its place: a person who changes their mind does not contradict themselves.
    """
    if entry.effect == "replace":
        return ""
    earlier = revision.session.answers.get(entry.question.id)
    answers = [*([earlier] if earlier else []), *revision.answers]
    ids = [answer.clause for answer in answers if answer.question == entry.question.id]
    standing = {clause.id for clause in revision.draft(entry.draft).content.clauses}
    return next((id for id in reversed(ids) if id in standing), "")


def _option(question: SpecQuestion, answer: str) -> int | None:
    """Return the option that an answer chooses: by its number from 1, its text or its clause."""
    key = answer.casefold().rstrip(".")
    if key.isdecimal() and 1 <= int(key) <= len(question.options):
        return int(key) - 1
    for number, option in enumerate(question.options):
        texts = {one_line(text).casefold().rstrip(".") for text in (option.text, option.clause)}
        if key in texts - {""}:
            return number
    return None


def _verdict(entry: AskedQuestion, answer: str, number: int | None) -> ExampleVerdict | None:
    """Return the verdict of the shown output that an answer means; None if it means none."""
    if not entry.question.output:
        return None
    if number is not None:
        verdict = entry.verdicts[number] if number < len(entry.verdicts) else ""
        return ExampleVerdict(verdict) if verdict else None
    if not entry.verdicts:
        return None
    if _PASSES.search(answer):
        return ExampleVerdict.PASS
    return ExampleVerdict.FAIL if _FAILS.search(answer) else None


def _is_bare(answer: str) -> bool:
    """Return whether an answer is a verdict and no reason."""
    return not _reason_in(answer)


def _reason_in(answer: str) -> str:
    """Return what an answer says beside its verdict."""
    match = _PASSES.match(answer) or _FAILS.match(answer)
    return answer[match.end() :].strip(" .,:;-!") if match else answer


def _settle_output(
    revision: Revision, entry: AskedQuestion, verdict: ExampleVerdict, why: str
) -> None:
    question = entry.question
    examples = revision.draft(entry.draft).content.examples
    older = next((e for e in examples if e.output == question.output), None)
    example = SpecExample(
        older.id if older else revision.new_example_id(entry.draft),
        question.output,
        verdict,
        Origin(PERSON, entry.run or question.id),
        question.input or (older.input if older else ""),
        question.clause,
        _reason_in(why),
    )
    reason = Reason(f"{question.text} {why or verdict}", PERSON, question.id)
    revision.set_example(entry.draft, example, reason)


def _case_form(entry: AskedQuestion) -> str:
    """Return what own words become, so that a reader knows what they are about."""
    question = entry.question
    if question.output and entry.verdicts:
        case = excerpt(one_line(question.output), _LONGEST_CASE)
        return f'An output such as "{case}": {{answer}}'
    return f"{question.text} {{answer}}"


def _replace(revision: Revision, entry: AskedQuestion, text: str, reason: Reason) -> str:
    clauses = revision.draft(entry.draft).content.clauses
    old = next((clause for clause in clauses if clause.id == entry.question.clause), None)
    if old is None:
        return revision.set_clause(entry.draft, "", text, reason)
    if old.text == text:
        if any(clause.id == entry.other_clause for clause in clauses):
            revision.set_clause(entry.draft, entry.other_clause, "", reason)
    elif any(clause.text == text for clause in clauses):
        revision.set_clause(entry.draft, old.id, "", reason)
    else:
        revision.set_clause(entry.draft, old.id, text, reason)
    return old.id
