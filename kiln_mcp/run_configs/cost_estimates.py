"""Estimate what model calls will cost, before anything is done."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import Engine, Spending
from kiln_mcp.llm.engine import USUAL_INPUT, USUAL_OUTPUT
from kiln_mcp.llm.errors import DatabaseFailure

ENOUGH: Final = 5
"""Earlier calls of a model from which what the next ones take can be told."""


async def estimate_cost(
    engine: Engine, summary: str, calls_by_model: Mapping[str, int], kind: str
) -> Plan:
    """Return the plan of asking models so often; its cost is None if a price is not known.

    The highest cost is that of long calls. The expected one comes from like calls before, if
    there were some of every model.

    Args:
        engine: The engine.
        summary: What will be done.
        calls_by_model: How often each model will be asked.
        kind: Who asks, as the response cache names it: `evals`.
    """
    asked_models = {model: calls for model, calls in calls_by_model.items() if calls}
    earlier = await _earlier(engine, kind)
    has_records = all(model in earlier for model in asked_models)
    costs = [engine.price_of(model, calls) for model, calls in asked_models.items()]
    highest = None if None in costs else sum(cost or 0.0 for cost in costs)
    if not has_records:
        tokens = sum(asked_models.values()) * (USUAL_INPUT + USUAL_OUTPUT)
        return Plan(
            summary=summary,
            calls=sum(asked_models.values()),
            highest_cost_usd=highest,
            tokens=tokens,
        )
    usages = [(earlier[model].usage, calls) for model, calls in asked_models.items()]
    expected = sum((u.cost_usd or 0.0) / u.calls * calls for u, calls in usages)
    tokens = sum((u.input_tokens + u.output_tokens) / u.calls * calls for u, calls in usages)
    return Plan(
        summary=summary,
        calls=sum(asked_models.values()),
        expected_cost_usd=None if highest is None else expected,
        highest_cost_usd=highest,
        tokens=round(tokens),
        earlier_calls=min((usage.calls for usage, _ in usages), default=0),
    )


async def _earlier(engine: Engine, kind: str) -> Mapping[str, Spending]:
    """Return what calls of a kind took, by model, where there were enough with a price."""
    with suppress(DatabaseFailure):  # who asks a model is told
        expenses = await engine.spending(f"*{kind}/*")
        return {
            entry.model: entry
            for entry in expenses
            if entry.usage.calls >= ENOUGH and not entry.unpriced_calls
        }
    return {}
