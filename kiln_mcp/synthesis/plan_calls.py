"""How often carrying out a plan asks each model: counted by the rules that the calls follow."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import EMBEDDED, Engine
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig
from kiln_mcp.synthesis.data_plan import INPUTS_A_CALL, DataPlan, input_orders
from kiln_mcp.synthesis.inputs import ROUNDS
from kiln_mcp.synthesis.plan_settings import PlanSettings


@dataclass(frozen=True, slots=True)
class Work:
    """Calls by model.

    Attributes:
        calls: Those that are made if every answer can be used.
        spare_calls: The most that are made beside them, in place of what cannot.
    """

    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    spare_calls: Mapping[str, int] = field(default_factory=dict[str, int])

    def __add__(self, other: "Work") -> "Work":
        return Work(
            Counter(self.calls) + Counter(other.calls),
            Counter(self.spare_calls) + Counter(other.spare_calls),
        )

    async def plan(self, engine: Engine, summary: str) -> Plan:
        """Return the plan of the work; its highest cost is that with all spare calls."""
        plan = await estimate_cost(engine, summary, self.calls, "synthesis")
        spare_count = sum(self.spare_calls.values())
        if not spare_count:
            return plan
        every_call = Counter(self.calls) + Counter(self.spare_calls)
        most = await estimate_cost(engine, summary, every_call, "synthesis")
        limits = f"At most {spare_count} further calls replace answers that cannot be used."
        return replace(plan, highest_cost_usd=most.highest_cost_usd, limits=limits)


def naming_work(settings: PlanSettings, writer: str) -> Work:
    """Return the calls that name topics and personas; the embedded model names none."""
    if writer == EMBEDDED or settings.inputs:
        return Work()
    return Work({writer: settings.topic_calls + bool(settings.invented_personas)})


def input_work(plan: DataPlan, count: int) -> Work:
    """Return the calls that write so many inputs of a plan."""
    orders = len(input_orders(plan.slots[:count], slots_a_call(plan.writer)))
    return Work({plan.writer: orders}, {plan.writer: (ROUNDS - 1) * orders})


def output_work(plan: DataPlan, config: ResolvedRunConfig, count: int) -> Work:
    """Return the calls that make the outputs of so many inputs."""
    del plan
    return Work({config.model: count * config.calls_per_output})


def slots_a_call(model: str) -> int:
    """Return how many inputs a model writes in one call."""
    return 1 if model == EMBEDDED else INPUTS_A_CALL
