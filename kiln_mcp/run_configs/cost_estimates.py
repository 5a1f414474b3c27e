"""Estimate what model calls will cost, before anything is done."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import Engine, Spending
from kiln_mcp.llm.engine import USUAL_INPUT, USUAL_OUTPUT
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.model_registry import PROGRAMS

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
    runs = {model: n for model, n in calls_by_model.items() if model.startswith(PROGRAMS) and n}
    if runs:
        return await _with_programs(engine, summary, calls_by_model, kind, runs)
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


async def _with_programs(
    engine: Engine,
    summary: str,
    calls_by_model: Mapping[str, int],
    kind: str,
    runs: Mapping[str, int],
) -> Plan:
    """Return the plan of work in which programs run; those that report a cost have no price."""
    model_calls = {model: calls for model, calls in calls_by_model.items() if model not in runs}
    is_priced = all(engine.price_of(name, 1) is not None for name in runs)
    count = sum(runs.values())
    sentence = f"Your program runs {count} times" if count > 1 else "Your program runs once"
    price = "" if is_priced else ", at a cost that it reports afterwards"
    plan = await estimate_cost(engine, f"{summary} {sentence}{price}.", model_calls, kind)
    return plan if is_priced else replace(plan, highest_cost_usd=None)


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
