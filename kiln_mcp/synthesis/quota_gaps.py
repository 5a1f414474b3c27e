"""Quotas of plans that the dataset does not reach, and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from kiln_mcp.datasets.summaries import ItemSummary
from kiln_mcp.synthesis.coverage_plan import Quota
from kiln_mcp.synthesis.data_plan import DataPlan
from storage.text.excerpts import excerpt

_LONGEST: Final = 60


def quota_gaps(plans: Sequence[DataPlan], items: Sequence[ItemSummary]) -> list[str]:
    """Return a sentence for each clause and outcome of which a plan has too few items.

    An item of a plan with pairs counts for the outcome that was verified, else for the one that
    its input was made for. The largest gap of a plan comes first.

    Args:
        plans: Plans that were carried out.
        items: The dataset as it is now.
    """
    return [sentence for plan in plans for sentence in _gaps(plan, items)]


def _gaps(plan: DataPlan, items: Sequence[ItemSummary]) -> Iterator[str]:
    own = [item.lineage for item in items if item.lineage.plan == plan.id]
    gaps: list[tuple[int, str]] = []
    for quota in plan.quotas:
        planned_items = [
            item for item in own if (item.clause, item.aim) == (quota.clause, quota.aim)
        ]
        outcomes = Counter(item.outcome if plan.pairs else item.aim for item in planned_items)
        count = sum(
            item.clause == quota.clause and (item.outcome if plan.pairs else item.aim) == quota.aim
            for item in own
        )
        if count < quota.count:
            reason = _reason(quota, outcomes)
            gaps.append(
                (
                    count - quota.count,
                    f"The plan {plan.id} has {count} of {quota.count} {quota.aim} items for "
                    f"{_clause(plan, quota.clause)}: {reason}.",
                )
            )
    yield from (sentence for _, sentence in sorted(gaps, key=lambda gap: gap[0]))


def _reason(quota: Quota, outcomes: Counter[str]) -> str:
    reasons = [
        f"{count} came out as {outcome}"
        for outcome, count in sorted(outcomes.items())
        if outcome != quota.aim
    ]
    absent = quota.count - outcomes.total()
    if absent > 0:
        verb = "was" if absent == 1 else "were"
        reasons.append(f"{absent} {verb} dropped, failed or {verb} deleted since")
    return ", ".join(reasons)


def _clause(plan: DataPlan, clause: str) -> str:
    """Return how a sentence calls a clause."""
    texts = {own.id: own.text for own in plan.clauses}
    if not clause:
        return "the whole spec"
    return f"the clause '{excerpt(texts.get(clause, clause), _LONGEST)}'"
