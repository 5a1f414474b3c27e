"""The limits of a job in words: what they hold, where they stop it, and what it takes to go on."""

import math
from collections.abc import Mapping
from typing import Final

from kiln_mcp.jobs import Job
from kiln_mcp.llm import BudgetLimit

KINDS: Final = ("cost_usd", "tokens", "calls", "seconds")
_MARGIN: Final = 1.2
"""By how much more is proposed than what the work so far lets expect."""


def amounts(limit: BudgetLimit) -> dict[str, float | None]:
    """Return the limits by their kind."""
    return {
        "cost_usd": limit.cost_usd,
        "tokens": limit.tokens,
        "calls": limit.calls,
        "seconds": limit.seconds,
    }


def raised(before: BudgetLimit, after: BudgetLimit) -> list[str]:
    """Return the kinds of which there is to be more than before."""
    now = amounts(after)
    return [
        kind
        for kind, agreed in amounts(before).items()
        if agreed is not None and ((wanted := now[kind]) is None or wanted > agreed)
    ]


def dollars(amount: float) -> str:
    """Return an amount of money, with as many digits as it needs to be told from nothing."""
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.1 else f"${amount:.2g}"


def in_words(kind: str, amount: float) -> str:
    """Return how much of a kind: $1.00, 100 calls."""
    match kind:
        case "cost_usd":
            return dollars(amount)
        case "seconds":
            return f"{round(amount, 1):g} s of work"
        case _:
            return f"{amount:,.0f} {kind if amount != 1 else kind.removesuffix('s')}"


def enough_for(job: Job, used: Mapping[str, float]) -> dict[str, float]:
    """Return a limit with which a stopped job can go on; empty if no limit stopped it.

    Args:
        job: The job, stopped.
        used: What it has used so far, by kind.
    """
    if job.stop is None:
        return {}
    kind, now = job.stop.kind, amounts(job.limit).get(job.stop.kind) or 0.0
    done, total = job.progress.done, job.progress.total
    if total is None or done <= 0:
        expected = 2 * max(now, used[kind])
    else:
        expected = used[kind] / done * total * _MARGIN
    amount = max(expected, job.stop.needed, now * _MARGIN, 1e-6)
    return {kind: _round_up(amount, kind == "cost_usd")}


def _round_up(amount: float, in_parts: bool) -> float:
    """Return a number of two digits that is not smaller; a whole one, unless in parts."""
    step = 10.0 ** (math.floor(math.log10(amount)) - 1)
    rounded = math.ceil(amount / step - 1e-9) * step
    return float(f"{rounded:.3g}") if in_parts else math.ceil(round(rounded, 6))
