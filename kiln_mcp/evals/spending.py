"""Saying what asking models will cost, before anything is done."""

from collections.abc import Mapping

from kiln_mcp.errors import Plan
from kiln_mcp.llm import Engine


def plan_of(engine: Engine, summary: str, calls_by_model: Mapping[str, int]) -> Plan:
    """Return the plan of asking models so often; its cost is None where a price is not known."""
    prices = [engine.price_of(model, calls) for model, calls in calls_by_model.items() if calls]
    known = [price for price in prices if price is not None]
    return Plan(
        summary=summary,
        calls=sum(calls_by_model.values()),
        cost_usd=sum(known) if len(known) == len(prices) else None,
    )
