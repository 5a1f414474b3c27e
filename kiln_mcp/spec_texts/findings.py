"""Make the findings of the rules."""

import hashlib
from collections.abc import Sequence
from typing import Final

from kiln_mcp.spec_texts.spec_content import Finding, FindingKind, SpecContent

RULES: Final = "rules"
"""The source of findings without a model."""
ALARM_CONFIDENCE: Final = 0.5
"""The least confidence of a finding that is reported as a weakness; below it is a hint."""


def finding_id(kind: FindingKind, clause: str, words: str) -> str:
    """Return an id that stays while the kind, the clause and the words do."""
    digest = hashlib.sha256(words.casefold().encode()).hexdigest()[:8]
    return ":".join(part for part in (str(kind), clause, digest) if part)


def finding(
    kind: FindingKind, clause: str, words: str, why: str, *, confidence: float = 1.0
) -> Finding:
    """Return a finding of the rules; one without words is told apart by its reason."""
    return Finding(
        id=finding_id(kind, clause, words or why),
        kind=kind,
        words=words,
        why=why,
        source=RULES,
        clause=clause,
        confidence=confidence,
    )


def findings_that_stay(earlier: Sequence[Finding], content: SpecContent) -> tuple[Finding, ...]:
    """Return the findings of a model whose clause still has their words."""
    texts = {clause.id: clause.text for clause in content.clauses}
    return tuple(
        item
        for item in earlier
        if item.source != RULES and item.words and item.words in texts.get(item.clause, "")
    )


def is_missing_example(item: Finding) -> bool:
    """Return whether a finding only asks for an example of a verdict."""
    return item.kind is FindingKind.UNDERSPECIFIED and not item.words


def is_alarm(item: Finding) -> bool:
    """Return whether a finding is reported as a weakness, and not only as a hint."""
    return item.confidence >= ALARM_CONFIDENCE
