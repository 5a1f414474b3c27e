"""The plans of jobs: a person is never asked twice about the same money."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.jobs import Job
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.answers import JobReport, usage_of
from kiln_mcp.operations.job_control.limit_texts import amounts, dollars, in_words, raised_kinds
from storage.errors import Refusal

_SPENDING_KINDS: Final = ("cost_usd", "calls", "tokens")


def plan_with_limit(plan: Plan, limit: BudgetLimit) -> Plan:
    """Return the plan of a job with what its limits do; its cost stays that of the whole job."""
    limits = {kind: amount for kind, amount in amounts(limit).items() if amount is not None}
    if not limits:
        return plan
    amounts_text = ", ".join(in_words(kind, amount) for kind, amount in limits.items())
    sentences = [
        f"Limit: {amounts_text}.",
        f"{_stop_forecast(plan, limits)}: what is done is kept, and the job can go on with "
        "a higher limit.",
    ]
    if plan.highest_cost_usd is None and limit.cost_usd is not None:
        sentences.append("The limit in money holds no model whose price is not known.")
    return replace(plan, limits=" ".join(sentences))


def _stop_forecast(plan: Plan, limits: Mapping[str, float]) -> str:
    """Return where the limits will stop a job, as a sentence without its end."""
    needs = {"calls": plan.calls, "cost_usd": plan.likely_cost_usd, "tokens": plan.tokens}
    shares = {kind: limits[kind] / need for kind, need in needs.items() if need and kind in limits}
    tightest = min(shares, key=lambda kind: shares[kind], default="")
    share = shares.get(tightest, 1.0)
    if share >= 1:
        return "It stops where that is reached"
    percentage = f"{share:.0%}" if share >= 0.01 else "less than 1%"
    if tightest == "calls" or plan.earlier_calls:
        return f"It will probably stop at about {percentage} of the work"
    if share < 0.01:
        return "It may stop there before 1% of the work is done"
    return f"It does at least about {percentage} of the work before it stops there"


def check_plan_growth(job: Job, plan: Plan) -> None:
    """Refuse a job whose plan has grown beyond the approved one, unless its limit holds it.

    Raises:
        Refusal: The plan has grown.
    """
    if job.approved_plan is None or not plan.needs_approval:
        return
    approved_plan = job.approved_plan.plan
    has_limit = any(amounts(job.limit)[kind] is not None for kind in _SPENDING_KINDS)
    costs_more = plan.calls > approved_plan.calls and not has_limit
    does_more = plan.consequences - approved_plan.consequences
    if costs_more or does_more or plan.destination != approved_plan.destination:
        raise Refusal(
            "The job {job} would do more now than was agreed to: {reason} Call {tool} again to "
            "have the new plan approved: what is done is kept.",
            job=job.id,
            tool=job.capability,
            reason=f"{plan.text} Agreed to was: {approved_plan.text}",
        )


def resume_plan(job: Job, report: JobReport, new_limit: BudgetLimit) -> Plan:
    """Return the plan to resume a job: only what a new limit allows beyond the approved one.

    If no limit is higher than before, the plan costs nothing.

    Args:
        job: The job, with the limit that the person approved.
        report: What it has used.
        new_limit: The limit of the next attempt.
    """
    kinds = raised_kinds(job.limit, new_limit)
    if not kinds:
        return Plan(f"Go on with {job.capability} within the limit that was agreed to.")
    usage, old, new = usage_of(job, report), amounts(job.limit), amounts(new_limit)
    sentences = [_raise_sentence(kind, usage[kind], old[kind] or 0.0, new[kind]) for kind in kinds]
    cost = _extra_cost(job, report, new_limit)
    if "cost_usd" in kinds or cost == 0:
        price = ""
    elif cost is None:
        price = " What that costs is not known."
    else:
        price = f" At what it has cost so far, that is about {dollars(cost)} more."
    summary = f"Go on with {job.capability}: {' '.join(sentences)}{price}"
    calls = _extra_calls(job, report, new_limit, cost)
    return Plan(summary, calls=calls, highest_cost_usd=cost)


def _raise_sentence(kind: str, usage: float, old: float, new: float | None) -> str:
    amount = in_words(kind, usage).removesuffix(" of work")
    sentence = f"{amount} of the agreed {in_words(kind, old)} used."
    if new is None:
        return f"{sentence} There is to be no such limit any more."
    difference = in_words(kind, new - old)
    return f"{sentence} The new limit is {in_words(kind, new)}, which is {difference} more."


def _extra_calls(job: Job, report: JobReport, new_limit: BudgetLimit, cost: float | None) -> int:
    """Return how many more calls the new limit allows; 0 if that is unknown."""
    if "calls" in raised_kinds(job.limit, new_limit) and new_limit.calls is not None:
        return new_limit.calls - (job.limit.calls or 0)
    if not cost or not report.cost_usd or not report.calls:
        return 0
    return math.ceil(cost / report.cost_usd * report.calls)


def _extra_cost(job: Job, report: JobReport, new_limit: BudgetLimit) -> float | None:
    """Return what the new limit may cost beyond the approved one; None if unknown."""
    old, new = amounts(job.limit), amounts(new_limit)
    kinds = raised_kinds(job.limit, new_limit)
    if "cost_usd" in kinds:
        cost_usd = new_limit.cost_usd
        return None if cost_usd is None else cost_usd - (job.limit.cost_usd or 0.0)
    if job.limit.cost_usd is not None:  # the money is approved, whatever it is spent on
        return 0.0
    if report.unpriced_calls or not report.calls:
        return None
    cost, usage = report.cost_usd or 0.0, usage_of(job, report)
    # The job stops at the first of its limits, so the smallest bound is its cost.
    bounds = [
        cost / usage[kind] * (amount - (old[kind] or 0.0))
        for kind in kinds
        if (amount := new[kind]) is not None and usage[kind] > 0
    ]
    return 0.0 if cost == 0 else min(bounds, default=None)
