"""The limits of a job in words, and the limit with which a stopped job can go on."""

import math
from collections.abc import Mapping
from typing import Final

from kiln_mcp.jobs import Job
from kiln_mcp.llm import BudgetLimit

_MARGIN: Final = 1.2
"""A proposed limit is higher than the expected need by this factor."""


def amounts(limit: BudgetLimit) -> dict[str, float | None]:
    """Return the amounts of a limit by kind; None if a kind is not limited."""
    return {
        "cost_usd": limit.cost_usd,
        "tokens": limit.tokens,
        "calls": limit.calls,
        "seconds": limit.seconds,
    }


def raised_kinds(old: BudgetLimit, new: BudgetLimit) -> list[str]:
    """Return the kinds whose limit is higher in the new limit."""
    amounts_new = amounts(new)
    return [
        kind
        for kind, amount in amounts(old).items()
        if amount is not None and ((raise_to := amounts_new[kind]) is None or raise_to > amount)
    ]


def dollars(amount: float) -> str:
    """Return an amount of money, with enough digits to differ from zero."""
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.1 else f"${amount:.2g}"


def in_words(kind: str, amount: float) -> str:
    """Return an amount of a kind in words: $1.00, 100 calls."""
    match kind:
        case "cost_usd":
            return dollars(amount)
        case "seconds":
            return f"{round(amount, 1):g} s of work"
        case _:
            return f"{amount:,.0f} {kind if amount != 1 else kind.removesuffix('s')}"


def sufficient_limit(job: Job, usage: Mapping[str, float]) -> dict[str, float]:
    """Return a limit with which a stopped job can go on; empty if no limit stopped it.

    Args:
        job: A stopped job.
        usage: What it has used so far, by kind.
    """
    if job.stop is None:
        return {}
    kind, current = job.stop.kind, amounts(job.limit).get(job.stop.kind) or 0.0
    done, total = job.progress.done, job.progress.total
    if total is None or done <= 0:
        need = 2 * max(current, usage[kind])
    else:
        need = usage[kind] / done * total * _MARGIN
    amount = max(need, job.stop.minimum, current * _MARGIN, 1e-6)
    return {kind: _round_up(amount, has_decimals=kind == "cost_usd")}


def _round_up(amount: float, *, has_decimals: bool) -> float:
    """Return a number of two digits that is not smaller; an integer unless it has decimals."""
    step = 10.0 ** (math.floor(math.log10(amount)) - 1)
    ceiling = math.ceil(amount / step - 1e-9) * step
    return float(f"{ceiling:.3g}") if has_decimals else math.ceil(round(ceiling, 6))
