"""Which labels a change of clauses can flip."""

from dataclasses import replace

import pytest

from kiln_mcp.evaluators.clause_verdicts import ClauseVerdictLine, ReadingLine, clause_digest
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.touched_labels import broken_clauses, clause_change
from storage import TaskOutput, TaskRun

PASS, FAIL = ExampleVerdict.PASS, ExampleVerdict.FAIL
ORIGIN = Origin("person", "")


def content(*texts: str) -> SpecContent:
    clauses = [Clause(f"c{n}", text, Polarity.MUST, ORIGIN) for n, text in enumerate(texts, 1)]
    return SpecContent(SpecKind.TONE, "Tone", tuple(clauses))


OLD = content("It is short.", "It is kind.")
SHORT = clause_digest("It is short.", Polarity.MUST)


@pytest.mark.parametrize(
    ("new", "verdict", "reason"),
    [
        (content("It is short.", "It is kind.", "It thanks."), FAIL, "only added"),
        (content("It is short.", "It is kind.", "It thanks."), PASS, ""),
        (content("It is short."), PASS, "only removed"),
        (content("It is short."), FAIL, ""),
        (content("It is short.", "It is very kind."), PASS, ""),
        (content("It is short.", "It is very kind."), FAIL, ""),
        (OLD, PASS, "no clause and no example"),
        (content("It is kind.", "It is short."), FAIL, "no clause and no example"),
        (replace(OLD, kind=SpecKind.TOXICITY), FAIL, ""),
        (replace(OLD, examples=(SpecExample("e1", "o", PASS, ORIGIN),)), FAIL, ""),
    ],
)
def test_a_label_is_skipped_only_where_the_change_cannot_flip_it(
    new: SpecContent, verdict: ExampleVerdict, reason: str
) -> None:
    given = clause_change(OLD, new).reason_to_skip(verdict, ())
    assert reason in given
    assert bool(reason) == bool(given)


def test_a_failure_stays_one_while_an_unchanged_clause_is_broken() -> None:
    change = clause_change(OLD, content("It is short.", "It is very kind."))
    assert "unchanged clause is broken" in change.reason_to_skip(FAIL, {SHORT})
    assert not change.reason_to_skip(PASS, {SHORT})
    other = clause_change(OLD, content("It is brief.", "It is kind."))
    assert not other.reason_to_skip(FAIL, {SHORT})


def test_without_a_saved_state_every_label_can_flip() -> None:
    assert not clause_change(None, OLD).reason_to_skip(FAIL, {SHORT})


def test_a_clause_is_broken_if_every_verdict_on_the_output_as_it_is_says_so() -> None:
    run = TaskRun(input="in", output=TaskOutput(output="out"))

    def line(verdicts: dict[str, list[bool]], output: str, item: str = run.id) -> ClauseVerdictLine:
        return ClauseVerdictLine(reading="r", item=item, output=output, verdicts=verdicts)

    lines = [
        ReadingLine(id="r", model="m", manner="plain", wording=0, texts={}),
        line({"short": [False, False], "kind": [False]}, run.fingerprint),
        line({"short": [False], "kind": [True]}, run.fingerprint),
        line({"thanks": [False]}, "of an earlier output"),
        line({"short": [True]}, run.fingerprint, "a run that is gone"),
    ]
    assert broken_clauses(lines, {run.id: run}) == {run.id: {"short"}}
