"""What the rules find weak about a draft."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kiln_mcp.spec_texts.lint import Gap, Rule, find_gaps
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_content import Finding, FindingKind
from kiln_mcp.specs.draft_fields import fields_of_draft
from storage import Task

RULES: Final = "rules"
RULES_SCOPE: Final = (
    "rules: vague words of English, several demands in one clause, clauses that contradict each "
    "other or the task, missing examples, examples on both sides"
)
"""What the rules look for, in words."""
_KINDS: Final[Mapping[Rule, FindingKind]] = {
    Rule.CONTRADICTION: FindingKind.CONFLICTING,
    Rule.UNMEASURABLE: FindingKind.UNJUDGEABLE,
    Rule.UNDECIDED: FindingKind.UNDERSPECIFIED,
    Rule.VAGUE: FindingKind.UNDERSPECIFIED,
    Rule.COMPOUND: FindingKind.COMPOUND,
    Rule.NO_EXAMPLE: FindingKind.UNDERSPECIFIED,
    Rule.POLARITY: FindingKind.CONFLICTING,
    Rule.OVERLAP: FindingKind.VACUOUS,
    Rule.ABSOLUTE: FindingKind.UNDERSPECIFIED,
}
_HINTS: Final = frozenset({Rule.ABSOLUTE, Rule.OVERLAP})


@dataclass(frozen=True, slots=True)
class Examination:
    """What an examination of a draft found, and what it looked for."""

    findings: tuple[Finding, ...]
    search_scope: str


def examine_by_rules(draft: Draft, task: Task) -> Examination:
    """Return what the rules find weak about a draft."""
    gaps = find_gaps(draft.content.kind, fields_of_draft(draft), task.instruction)
    return Examination(tuple(_finding(draft, gap) for gap in gaps), RULES_SCOPE)


def _finding(draft: Draft, gap: Gap) -> Finding:
    clause = next((c.id for c in draft.content.clauses if gap.quote and gap.quote in c.text), "")
    is_hint = gap.rule in _HINTS
    return Finding(
        gap.id, _KINDS[gap.rule], gap.quote, gap.why, RULES, clause, "", 0.3 if is_hint else 0.7
    )
