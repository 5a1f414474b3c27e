"""What a person is asked before a job may spend: never twice for the same money."""

import math
from dataclasses import replace

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.jobs import Job
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.answers import JobReport, used_by
from kiln_mcp.operations.job_control.limits import amounts, dollars, in_words, raised
from storage.errors import Refusal


def within(plan: Plan, limit: BudgetLimit) -> Plan:
    """Return the plan of a job with what its limits do to it; its cost stays that of all of it."""
    held = {kind: amount for kind, amount in amounts(limit).items() if amount is not None}
    if not held:
        return plan
    said = ", ".join(in_words(kind, amount) for kind, amount in held.items())
    sentences = [f"Limit: {said}."]
    expected = {"calls": plan.calls, "cost_usd": plan.likely_cost_usd, "tokens": plan.tokens}
    shares = {
        kind: held[kind] / all_of_it
        for kind, all_of_it in expected.items()
        if all_of_it and kind in held
    }
    first = min(shares, key=lambda kind: shares[kind], default="")
    if (share := shares.get(first, 1.0)) < 1:
        about = f"{share:.0%}" if share >= 0.01 else "less than 1%"
        if first == "calls" or plan.earlier_calls:
            stops = f"It will probably stop at about {about} of the work"
        elif share < 0.01:
            stops = "It may stop there before 1% of the work is done"
        else:
            stops = f"It does at least about {about} of the work before it stops there"
    else:
        stops = "It stops where that is reached"
    sentences.append(f"{stops}: what is done is kept, and resume_job goes on with a higher limit.")
    if plan.highest_cost_usd is None and limit.cost_usd is not None:
        sentences.append("The limit in money holds no model whose price is not known.")
    return replace(plan, limits=" ".join(sentences))


def check_agreement(job: Job, plan: Plan) -> None:
    """Refuse a job whose plan has grown beyond what was agreed to, unless its limit holds it.

    Raises:
        Refusal: It has.
    """
    if job.approved_plan is None or not plan.needs_approval:
        return
    agreed = job.approved_plan.plan
    limited = any(amounts(job.limit)[kind] is not None for kind in ("cost_usd", "calls", "tokens"))
    costs_more = plan.calls > agreed.calls and not limited
    new = plan.consequences - agreed.consequences or plan.destination != agreed.destination
    if costs_more or new:
        raise Refusal(
            "The job {job} would do more now than was agreed to: {reason} Call {tool} again to "
            "have the new plan approved: what is done is kept.",
            job=job.id,
            tool=job.capability,
            reason=f"{plan.text} Agreed to was: {agreed.text}",
        )


def more_to_spend(job: Job, report: JobReport, wanted: BudgetLimit) -> Plan:
    """Return what is new where a job is to go on with another limit.

    Where no limit is higher than before, nothing is new.

    Args:
        job: The job, with the limit that the person has agreed to.
        report: What it has spent.
        wanted: The limit that is to hold from now on.
    """
    more = raised(job.limit, wanted)
    if not more:
        return Plan(f"Go on with {job.capability} within the limit that was agreed to.")
    used, before, after = used_by(job, report), amounts(job.limit), amounts(wanted)
    said = [_said_of(kind, used[kind], before[kind] or 0.0, after[kind]) for kind in more]
    cost = _cost_of_more(job, report, wanted)
    if "cost_usd" in more or cost == 0:
        price = ""
    elif cost is None:
        price = " What that costs is not known."
    else:
        price = f" At what it has cost so far, that is about {dollars(cost)} more."
    summary = f"Go on with {job.capability}: {' '.join(said)}{price}"
    return Plan(summary, calls=_calls_of_more(job, report, wanted, cost), highest_cost_usd=cost)


def _said_of(kind: str, used: float, before: float, after: float | None) -> str:
    of_it = in_words(kind, used).removesuffix(" of work")
    spent = f"{of_it} of the agreed {in_words(kind, before)} used."
    if after is None:
        return f"{spent} There is to be no such limit any more."
    beyond = in_words(kind, after - before)
    return f"{spent} The new limit is {in_words(kind, after)}, which is {beyond} more."


def _calls_of_more(job: Job, report: JobReport, wanted: BudgetLimit, cost: float | None) -> int:
    """Return how many calls the higher limits allow; 0 if nothing tells."""
    if "calls" in raised(job.limit, wanted) and wanted.calls is not None:
        return wanted.calls - (job.limit.calls or 0)
    if not cost or not report.cost_usd or not report.calls:
        return 0
    return math.ceil(cost / report.cost_usd * report.calls)


def _cost_of_more(job: Job, report: JobReport, wanted: BudgetLimit) -> float | None:
    """Return what the higher limits may cost beyond what was agreed to; None where unknown."""
    before, after = amounts(job.limit), amounts(wanted)
    more = raised(job.limit, wanted)
    if "cost_usd" in more:
        return None if wanted.cost_usd is None else wanted.cost_usd - (job.limit.cost_usd or 0.0)
    if job.limit.cost_usd is not None:  # the money is agreed to, whatever it is spent on
        return 0.0
    if report.unpriced_calls or not report.calls:
        return None
    spent, used = report.cost_usd or 0.0, used_by(job, report)
    # The job stops at the first of its limits, so the least of them says what it costs.
    bounds = [
        spent / used[kind] * (new - (before[kind] or 0.0))
        for kind in more
        if (new := after[kind]) is not None and used[kind] > 0
    ]
    return 0.0 if spent == 0 else min(bounds, default=None)
