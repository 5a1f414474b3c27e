"""What a person is asked before a job may spend: never twice for the same money."""

from dataclasses import replace

from kiln_mcp.errors import Plan
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.answers import JobReport


def within(plan: Plan, most_usd: float | None) -> Plan:
    """Return the plan of a job that stops at a limit of so many US dollars; None for no limit."""
    if most_usd is None:
        return plan
    if plan.cost_usd is None:
        warning = f"The limit of ${most_usd:.2f} holds no model whose price is not known."
        return replace(plan, summary=f"{plan.summary} {warning}")
    summary = f"{plan.summary} It stops at ${most_usd:.2f}."
    return replace(plan, summary=summary, cost_usd=min(plan.cost_usd, most_usd))


def more_to_spend(job: JobReport, agreed: BudgetLimit, wanted: BudgetLimit) -> Plan:
    """Return what is new where a job is to go on with another limit.

    A job without a limit in money was agreed to as a whole, so there is nothing new to ask.

    Args:
        job: The job, with what it has spent.
        agreed: The limit that the person has agreed to.
        wanted: The limit that is to hold from now on.
    """
    if agreed.cost_usd is None:
        return Plan(f"Go on with {job.capability}, which was agreed to as a whole.")
    spent = f"${job.cost_usd or 0.0:.2f} of the agreed ${agreed.cost_usd:.2f} is spent"
    if wanted.cost_usd is None:
        return Plan(f"Go on with {job.capability} without a limit: {spent}.", cost_usd=None)
    more = max(0.0, wanted.cost_usd - agreed.cost_usd)
    return Plan(
        f"Go on with {job.capability}: {spent}. The new limit is ${wanted.cost_usd:.2f}, "
        f"which is ${more:.2f} more.",
        cost_usd=more,
    )
