"""Saying what asking models will cost, before anything is done."""

from collections.abc import Mapping
from typing import Final

from kiln_mcp.errors import Plan
from kiln_mcp.llm import Engine

FREE: Final = ("embedded", "host", "scripted")


def is_free(engine: Engine, model: str) -> bool:
    """Return whether asking a model surely costs nothing: it runs here, or is priced at nothing."""
    if model.startswith(FREE):
        return True
    server = next((s for s in engine.settings.servers if model.startswith(f"{s.name}/")), None)
    return server is not None and (
        server.input_usd_per_million == 0 and server.output_usd_per_million == 0
    )


def plan_of(engine: Engine, summary: str, calls_by_model: Mapping[str, int]) -> Plan:
    """Return the plan of asking models so often; its cost is None where a price is not known."""
    free = all(is_free(engine, model) for model, calls in calls_by_model.items() if calls)
    return Plan(summary=summary, calls=sum(calls_by_model.values()), cost_usd=0.0 if free else None)
