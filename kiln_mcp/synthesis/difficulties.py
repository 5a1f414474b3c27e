"""How hard edited outputs are to judge: how much the panel that checked them disagreed."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from kiln_mcp.datasets.summaries import Difficulty, ItemSummary
from kiln_mcp.synthesis.answers import DifficultyRow

_HARDEST: Final = 3


def difficulty_rows(items: Sequence[ItemSummary]) -> list[DifficultyRow]:
    """Return how hard the edited outputs of each clause and outcome are, the hardest first."""
    groups: defaultdict[tuple[str, str], list[tuple[Difficulty, str]]] = defaultdict(list)
    for item in items:
        own = item.lineage
        if own.difficulty is not None:
            groups[own.clause, own.outcome].append((own.difficulty, item.id))
    rows = [
        DifficultyRow(
            clause=clause,
            outcome=outcome,
            items=len(group),
            difficulty=round(fmean(own.share for own, _ in group), 4),
            verdicts=min(own.verdicts for own, _ in group),
            judges=min(own.judges for own, _ in group),
            hardest=_hardest(group),
        )
        for (clause, outcome), group in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.difficulty, row.clause, row.outcome))


def _hardest(group: Sequence[tuple[Difficulty, str]]) -> dict[str, float]:
    """Return the items on which judges disagreed most, with their difficulty."""
    shares = sorted((-own.share, item) for own, item in group if own.share)
    return {item: -share for share, item in shares[:_HARDEST]}
