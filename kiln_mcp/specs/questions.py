"""Questions to the person by rules: what is weak about a draft, on the task's own outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.spec_texts.content_fields import one_line
from kiln_mcp.spec_texts.meanings import meanings_of, vague_words
from kiln_mcp.spec_texts.sentences import as_sentence, overlap
from kiln_mcp.spec_texts.session_events import AskedQuestion, Draft
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    FindingKind,
    Polarity,
    QuestionOption,
    SpecQuestion,
)
from kiln_mcp.specs.complaints import prohibition_of
from kiln_mcp.specs.drafts import PRAISE
from kiln_mcp.specs.real_outputs import RealOutput

MOST_QUESTIONS: Final = 5
"""The most questions of a session that wait for an answer."""
_ANSWER: Final = "{answer}"
_FREQUENCIES: Final = frozenset({"sometimes", "often", "frequently", "usually", "occasionally"})
_VERDICTS: Final = (str(ExampleVerdict.PASS), str(ExampleVerdict.FAIL))


@dataclass(frozen=True, slots=True)
class QuestionPool:
    """What questions are made of.

    Attributes:
        outputs: Outputs of the task, in the order in which they are used.
        earlier_questions: What was asked before; nothing is asked twice.
    """

    outputs: Sequence[RealOutput]
    earlier_questions: Sequence[AskedQuestion] = ()


def questions_about(
    draft: Draft, findings: Sequence[Finding], pool: QuestionPool
) -> list[AskedQuestion]:
    """Return what to ask about a draft, what decides most first; ids are still to be given."""
    earlier = pool.earlier_questions
    texts = {entry.question.text for entry in earlier if entry.draft == draft.id}
    used_runs = {entry.run for entry in earlier}
    questions: list[AskedQuestion] = []
    candidates = [
        *_polarity_questions(draft),
        *_finding_questions(draft, findings),
        *_word_questions(draft),
    ]
    for candidate in [*candidates, *_example_questions(draft)]:
        output = _output_for(candidate, draft, pool.outputs, used_runs)
        question = _on_output(candidate, output) if output else candidate
        if output is None and candidate.verdicts and not candidate.question.output:
            continue  # a verdict needs an output
        if question.question.text not in texts:
            texts.add(question.question.text)
            used_runs.add(question.run)
            questions.append(question)
    return questions


def with_ids(
    questions: Sequence[AskedQuestion], first: int, limit: int = MOST_QUESTIONS
) -> list[AskedQuestion]:
    """Return the first questions with their ids, from `q<first>` on."""
    return [
        entry.model_copy(update={"question": replace(entry.question, id=f"q{number}")})
        for number, entry in enumerate(questions[:limit], first)
    ]


def _polarity_questions(draft: Draft) -> Iterator[AskedQuestion]:
    """Ask whether what a wish reports is right, where its words do not tell."""
    content = draft.content
    if PRAISE not in content.assumptions or not content.clauses:
        return
    clause = content.clauses[0]
    yield AskedQuestion(
        draft=draft.id,
        question=SpecQuestion(
            "",
            f'"{clause.text}" Is that what good outputs do, or is it a fault?',
            (
                QuestionOption("Good outputs do it", clause.text),
                QuestionOption("It is a fault", prohibition_of(clause.text)),
            ),
            clause.id,
        ),
        effect="replace",
    )


def _finding_questions(draft: Draft, findings: Sequence[Finding]) -> Iterator[AskedQuestion]:
    by_id = {clause.id: clause for clause in draft.content.clauses}
    for finding in sorted(findings, key=lambda finding: -finding.confidence):
        clause = by_id.get(finding.clause)
        match finding.kind:
            case FindingKind.COMPOUND if clause:
                yield _compound(draft, finding, clause)
            case FindingKind.CONFLICTING if clause:
                yield _conflict(draft, finding, clause)
            case FindingKind.CONTRADICTING_EXAMPLES:
                yield _contradiction(draft, finding)
            case FindingKind.UNDERSPECIFIED | FindingKind.SUBJECTIVE if finding.words:
                yield _meaning(draft, finding)
            case FindingKind.UNDERSPECIFIED | FindingKind.SUBJECTIVE if not clause:
                continue  # an example is missing: that is asked about an output
            case _:
                yield _other(draft, finding, clause)


def _word_questions(draft: Draft) -> Iterator[AskedQuestion]:
    """Ask what a word means that readers are known to understand differently."""
    texts = [clause.text.casefold() for clause in draft.content.clauses]
    for clause in draft.content.clauses:
        for words in vague_words(clause.text):
            if clause.polarity is Polarity.MUST_NOT and words.casefold() in _FREQUENCIES:
                continue  # "is sometimes rude": how often a fault was seen defines nothing
            definition = f'"{words.casefold()}" means:'
            if not any(text.removeprefix("not ").startswith(definition) for text in texts):
                finding = Finding("", FindingKind.SUBJECTIVE, words, "", "rules", clause.id)
                yield _meaning(draft, finding)


def _meaning(draft: Draft, finding: Finding) -> AskedQuestion:
    form = f'{_not_if_forbidden(draft, finding)}"{finding.words}" means: {_ANSWER}'
    texts = [*([finding.mend] if finding.mend else []), *meanings_of(finding.words)]
    options = [QuestionOption(text, clause_of(form, text)) for text in texts]
    subject = f'"not {finding.words}"' if form.startswith("Not ") else f'"{finding.words}"'
    text = f"What does {subject} mean, so that a reader can check it in an output?"
    question = SpecQuestion("", text, tuple(options), finding.clause)
    return AskedQuestion(draft=draft.id, question=question, clause_form=form)


def _not_if_forbidden(draft: Draft, finding: Finding) -> str:
    """Return "Not " for a word of a forbidden clause: its meanings say what good outputs have."""
    by_id = {clause.id: clause for clause in draft.content.clauses}
    clause = by_id.get(finding.clause)
    is_forbidden = clause is not None and clause.polarity is Polarity.MUST_NOT
    return "Not " if is_forbidden and meanings_of(finding.words) else ""


def _compound(draft: Draft, finding: Finding, clause: Clause) -> AskedQuestion:
    text = f'"{clause.text}" If only one of these is met, does the output fail?'
    options = [QuestionOption("It fails: all are needed", clause.text)]
    if finding.mend:
        options.append(QuestionOption(f"Only this matters: {finding.mend}", finding.mend))
    question = SpecQuestion("", text, tuple(options), clause.id)
    return AskedQuestion(draft=draft.id, question=question, effect="replace")


def _conflict(draft: Draft, finding: Finding, clause: Clause) -> AskedQuestion:
    texts = list(dict.fromkeys([clause.text, *_other_texts(draft, finding, clause)]))
    other_ids = [c.id for c in draft.content.clauses if c.text in texts and c.id != clause.id]
    question = SpecQuestion(
        "",
        f'Which holds? "{clause.text}" {finding.why}',
        tuple(QuestionOption(text, text) for text in texts),
        clause.id,
    )
    other = other_ids[0] if other_ids else ""
    return AskedQuestion(draft=draft.id, question=question, effect="replace", other_clause=other)


def _other_texts(draft: Draft, finding: Finding, clause: Clause) -> Iterator[str]:
    if finding.mend:
        yield finding.mend
    for other in draft.content.clauses:
        if other.id != clause.id and other.text in finding.why:
            yield other.text


def _contradiction(draft: Draft, finding: Finding) -> AskedQuestion:
    question = SpecQuestion(
        "",
        f'Does this output pass or fail? "{finding.words}"',
        (QuestionOption("It passes", ""), QuestionOption("It fails", "")),
        finding.clause,
        output=finding.words,
    )
    return AskedQuestion(draft=draft.id, question=question, verdicts=_VERDICTS)


def _other(draft: Draft, finding: Finding, clause: Clause | None) -> AskedQuestion:
    words = finding.words or (clause.text if clause else draft.content.name)
    form = f'For "{words}": {_ANSWER}'
    options = [QuestionOption(finding.mend, finding.mend)] if finding.mend else []
    text = f'{finding.why} What in the output shows whether "{words}" is met?'
    question = SpecQuestion("", text, tuple(options), finding.clause)
    return AskedQuestion(draft=draft.id, question=question, clause_form=form)


def _example_questions(draft: Draft) -> Iterator[AskedQuestion]:
    """Ask for the verdict of a real output while there is no example of either side."""
    content = draft.content
    verdicts = {example.verdict for example in content.examples}
    if len(verdicts) == len(ExampleVerdict) or not content.clauses:
        return
    clause = content.clauses[0]
    question = SpecQuestion(
        "",
        f'Does this output meet "{clause.text}"?'
        if clause.polarity is Polarity.MUST
        else f'This is forbidden: "{clause.text}" Does this output pass?',
        (QuestionOption("It passes", ""), QuestionOption("It fails", "")),
        clause.id,
    )
    yield AskedQuestion(draft=draft.id, question=question, verdicts=_VERDICTS)


def _output_for(
    entry: AskedQuestion, draft: Draft, outputs: Sequence[RealOutput], used_runs: set[str]
) -> RealOutput | None:
    """Return the output that has most to do with a question, of those not used_runs yet."""
    if entry.question.output:
        return None
    clause = next((c for c in draft.content.clauses if c.id == entry.question.clause), None)
    text = f"{clause.text if clause else draft.content.name} {entry.question.text}"
    rest = [output for output in outputs if output.id not in used_runs]
    if not rest:
        return None
    if meanings_of(entry.question.text)[:1] == ("at most 1 sentence",):
        by_length = sorted(rest, key=lambda output: len(output.output))
        return by_length[len(by_length) // 2]
    return max(rest, key=lambda output: overlap(text, f"{output.input} {output.output}"))


def _on_output(entry: AskedQuestion, output: RealOutput) -> AskedQuestion:
    question = replace(entry.question, input=output.input, output=output.output)
    return entry.model_copy(update={"question": question, "run": output.id})


def clause_of(form: str, answer: str) -> str:
    """Return the clause that an answer in somebody's own words becomes."""
    return as_sentence(one_line(form.replace(_ANSWER, answer)))
