"""What the kept items of plans cost: all calls of their jobs, not those of the outputs alone."""

from collections.abc import Iterable, Sequence

from kiln_mcp.datasets.summaries import ItemSummary
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.report import DataReport


def with_plan_costs(
    report: DataReport, items: Sequence[ItemSummary], plans: Iterable[DataPlan]
) -> DataReport:
    """Return a report with the costs of all calls of the plans that say what they took."""
    spent_plans = {plan.id: plan for plan in plans if plan.spending}
    item_count = sum(item.lineage.plan in spent_plans for item in items)
    if report.costs is None or not item_count:
        return report
    entries = [entry for plan in spent_plans.values() for entry in plan.spending.values()]
    prices = [entry.usd for entry in entries if entry.usd is not None]
    costs = report.costs.model_copy(
        update={
            "plan_items": item_count,
            "plan_calls": sum(entry.calls for entry in entries),
            "plan_usd": sum(prices) if len(prices) == len(entries) else None,
        }
    )
    return report.model_copy(update={"costs": costs})
