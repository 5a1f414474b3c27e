"""Which labels a change of clauses can flip, so that a judge is asked about these alone.

An output passes if it meets every clause. So a clause that is only added leaves failures as they
are, one that is only removed leaves passes, and a failure stays one while an unchanged clause is
broken, as a panel has seen it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.evaluators.clause_verdicts import (
    ClauseLine,
    ClauseVerdictLine,
    clause_digest,
    read_clause_lines,
)
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_content import Clause, ExampleVerdict, SpecContent
from kiln_mcp.specs.review import ReviewedDraft
from storage import ProjectStore, Task, TaskRun

_BY_EXAMPLE: Final = "an example settles the output"
_NOTHING: Final = "no clause and no example has changed"
_ONLY_ADDED: Final = "clauses were only added, so that failures stay failures"
_ONLY_REMOVED: Final = "clauses were only removed, so that passes stay passes"
_BROKEN_CLAUSE: Final = "an unchanged clause is broken, as a panel has seen"


@dataclass(frozen=True, slots=True)
class TouchedLabels:
    """The labels that a change can flip.

    Attributes:
        items: The labelled outputs to ask about.
        skips: How many others there are, by the reason.
    """

    items: Sequence[str]
    skips: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """How many labels were passed over, and why; "" for none."""
        parts = [f"{count}, because {reason}" for reason, count in self.skips.items()]
        return f"Labels that cannot flip: {'; '.join(parts)}." if parts else ""


@dataclass(frozen=True, slots=True)
class ClauseChange:
    """What has changed between two states of a spec.

    Attributes:
        adds: Whether it has a clause or another text that it had not.
        removes: Whether it has lost a clause or a text.
        by_examples: Whether an example is new or other, so that any verdict may move.
        unchanged_clauses: The digests of the clauses that are in both.
    """

    adds: bool = True
    removes: bool = True
    by_examples: bool = True
    unchanged_clauses: frozenset[str] = field(default_factory=frozenset[str])

    def reason_to_skip(self, verdict: ExampleVerdict, broken_clauses: Collection[str]) -> str:
        """Return why a label cannot flip; "" if it can.

        Args:
            verdict: The label.
            broken_clauses: The digests of clauses that the output breaks, as a panel has seen it.
        """
        is_fail = verdict is ExampleVerdict.FAIL
        if is_fail and not self.unchanged_clauses.isdisjoint(broken_clauses):
            return _BROKEN_CLAUSE
        if self.by_examples:
            return ""
        if not (self.adds or self.removes):
            return _NOTHING
        if is_fail and not self.removes:
            return _ONLY_ADDED
        return _ONLY_REMOVED if not is_fail and not self.adds else ""


def clause_change(old: SpecContent | None, new: SpecContent) -> ClauseChange:
    """Return what has changed; without an old state everything has."""
    if old is None or old.kind is not new.kind:
        return ClauseChange()
    old_digests, new_digests = ({_digest(c) for c in content.clauses} for content in (old, new))
    examples = [
        {(e.input, e.output, e.verdict) for e in content.examples} for content in (old, new)
    ]
    return ClauseChange(
        adds=bool(new_digests - old_digests),
        removes=bool(old_digests - new_digests),
        by_examples=examples[0] != examples[1],
        unchanged_clauses=frozenset(old_digests & new_digests),
    )


async def touched_labels(
    store: ProjectStore, task: Task, review: ReviewedDraft, saved: Draft | None
) -> TouchedLabels:
    """Return the labels that the change of a draft since it was saved can flip."""
    content = review.draft.content
    change = clause_change(saved.content if saved is not None else None, content)
    broken_items = broken_clauses(await read_clause_lines(store, task), review.runs)
    settled_outputs = {example.output for example in content.examples}
    items: list[str] = []
    skips: defaultdict[str, int] = defaultdict(int)
    for item, run in review.runs.items():
        reason = change.reason_to_skip(review.verdict_of(item), broken_items.get(item, ()))
        if run.output.output in settled_outputs:
            reason = _BY_EXAMPLE
        if reason:
            skips[reason] += 1
        else:
            items.append(item)
    return TouchedLabels(items, skips)


def broken_clauses(
    lines: Sequence[ClauseLine], runs: Mapping[str, TaskRun]
) -> dict[str, Collection[str]]:
    """Return the clauses, by digest, that every verdict of a panel on an output calls broken.

    Args:
        lines: What panels said, also of runs that have another output now.
        runs: The runs as they are, by id.
    """
    verdicts: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for line in lines:
        if not isinstance(line, ClauseVerdictLine) or line.item not in runs:
            continue
        if runs[line.item].fingerprint == line.output:
            for digest, values in line.verdicts.items():
                verdicts[line.item, digest] += values
    clauses_by_item: defaultdict[str, set[str]] = defaultdict(set)
    for (item, digest), values in verdicts.items():
        if values and not any(values):
            clauses_by_item[item].add(digest)
    return dict(clauses_by_item)


def _digest(clause: Clause) -> str:
    return clause_digest(clause.text, clause.polarity)
