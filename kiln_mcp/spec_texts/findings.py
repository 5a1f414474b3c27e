"""Make the findings of the rules."""

import hashlib
from typing import Final

from kiln_mcp.spec_texts.spec_content import Finding, FindingKind

RULES: Final = "rules"
"""The source of findings without a model."""
LEAST_OF_ALARM: Final = 0.5
"""The least confidence of a finding that is reported as a weakness; below it is a hint."""


def finding_id(kind: FindingKind, clause: str, words: str) -> str:
    """Return an id that stays while the kind, the clause and the words do."""
    digest = hashlib.sha256(words.casefold().encode()).hexdigest()[:8]
    return ":".join(part for part in (str(kind), clause, digest) if part)


def finding(
    kind: FindingKind, clause: str, words: str, why: str, *, confidence: float = 1.0
) -> Finding:
    """Return a finding of the rules."""
    return Finding(
        id=finding_id(kind, clause, words),
        kind=kind,
        words=words,
        why=why,
        source=RULES,
        clause=clause,
        confidence=confidence,
    )


def is_alarm(item: Finding) -> bool:
    """Return whether a finding is reported as a weakness, and not only as a hint."""
    return item.confidence >= LEAST_OF_ALARM
