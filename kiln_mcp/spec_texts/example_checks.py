"""Check the examples of a spec: missing ones, and those that contradict."""

from collections.abc import Iterator, Sequence
from typing import Final

from kiln_mcp.spec_texts.clause_readings import clause_limits
from kiln_mcp.spec_texts.findings import finding
from kiln_mcp.spec_texts.quantities import length_of
from kiln_mcp.spec_texts.spec_content import (
    ExampleVerdict,
    Finding,
    FindingKind,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import FORMS
from kiln_mcp.spec_texts.text_terms import same_form

_TOLERANCE: Final = 1.1
"""Lengths within 10 % are left alone: people count words in several ways."""
_OUTPUT_TERMS: Final = frozenset(
    ["messag", "tweet", "email", "e-mail", "transl", "nachri", "文面", "返答", "返信文"]
)
"""Terms that stand for the whole output, beside the words for an answer."""
_ELLIPSES: Final = ("…", "...", "[")

_VERBS: Final = {ExampleVerdict.PASS: "passes", ExampleVerdict.FAIL: "fails"}


def contrastive_pairs(content: SpecContent) -> tuple[tuple[str, str], ...]:
    """Return the ids of examples that pass and fail on the same input: the best examples.

    Such a pair is a strength of a spec, never a contradiction.
    """
    return tuple(
        (good.id, bad.id)
        for good in _with_verdict(content, ExampleVerdict.PASS)
        for bad in _with_verdict(content, ExampleVerdict.FAIL)
        if good.input
        and same_form(good.input) == same_form(bad.input)
        and good.output.strip() != bad.output.strip()
    )


def example_findings(content: SpecContent) -> Iterator[Finding]:
    """Yield missing examples as hints, and examples that contradict each other or a clause."""
    yield from _missing(content)
    yield from _equal(content)
    yield from _against_limits(content)


def _with_verdict(content: SpecContent, verdict: ExampleVerdict) -> Sequence[SpecExample]:
    return [example for example in content.examples if example.verdict is verdict]


def _missing(content: SpecContent) -> Iterator[Finding]:
    form = FORMS[content.kind]
    for verdict, field in ((ExampleVerdict.FAIL, form.bad), (ExampleVerdict.PASS, form.good)):
        if field is not None and not _with_verdict(content, verdict):
            yield finding(
                FindingKind.UNDERSPECIFIED,
                "",
                "",
                f"Without an output that {_VERBS[verdict]}, each reviewer guesses where that "
                "begins.",
                confidence=0.2,
            )


def _equal(content: SpecContent) -> Iterator[Finding]:
    for good in _with_verdict(content, ExampleVerdict.PASS):
        for bad in _with_verdict(content, ExampleVerdict.FAIL):
            # Spaces, case and punctuation may be what a spec is about.
            if good.output.strip() != bad.output.strip() or not good.output.strip():
                continue
            inputs = {same_form(example.input) for example in (good, bad)}
            # One output may pass for one input and fail for another.
            if len(inputs - {""}) <= 1:
                yield finding(
                    FindingKind.CONTRADICTING_EXAMPLES,
                    "",
                    bad.output,
                    f"{good.id} passes and {bad.id} fails, and they are the same.",
                    confidence=0.95 if len(inputs) == 1 else 0.6,
                )


def _against_limits(content: SpecContent) -> Iterator[Finding]:
    """Yield examples that pass although they are longer than a clause allows."""
    for clause in content.clauses:
        for limit in clause_limits(content.kind, clause):
            if limit.high is None or not limit.scope <= _OUTPUT_TERMS:
                continue
            for example in _with_verdict(content, ExampleVerdict.PASS):
                length = length_of(example.output, limit.unit)
                if length is None or length <= limit.high * _TOLERANCE:
                    continue
                if example.output.startswith(_ELLIPSES):
                    continue
                yield finding(
                    FindingKind.CONTRADICTING_EXAMPLES,
                    clause.id,
                    example.output,
                    f"{example.id} passes with {length} {limit.unit}, and {clause.id} says "
                    f'"{limit.words}".',
                    confidence=0.7,
                )
