"""How often carrying out a plan asks each model: counted by the rules that the calls follow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import EMBEDDED, Engine
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig
from kiln_mcp.synthesis.clause_checks import verdict_models
from kiln_mcp.synthesis.coverage_plan import Slot
from kiln_mcp.synthesis.data_plan import INPUTS_A_CALL, DataPlan, input_orders
from kiln_mcp.synthesis.inputs import ROUNDS
from kiln_mcp.synthesis.minimal_pairs import EDIT_ROUNDS, EDITED_AIMS
from kiln_mcp.synthesis.plan_settings import PlanSettings
from kiln_mcp.synthesis.plan_store import DraftLine
from kiln_mcp.synthesis.verified_references import needs_second_answer, second_model


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
        highest = await estimate_cost(engine, summary, every_call, "synthesis")
        limits = f"At most {spare_count} further calls replace answers that cannot be used."
        return replace(plan, highest_cost_usd=highest.highest_cost_usd, limits=limits)


def naming_work(settings: PlanSettings, writer: str) -> Work:
    """Return the calls that name topics and personas; the embedded model names none."""
    if writer == EMBEDDED or settings.inputs:
        return Work()
    return Work({writer: settings.topic_calls + bool(settings.invented_personas)})


def input_work(plan: DataPlan, count: int) -> Work:
    """Return the calls that write so many inputs of a plan."""
    orders = len(input_orders(plan.slots[:count], slots_a_call(plan.writer)))
    return Work({plan.writer: orders}, {plan.writer: (ROUNDS - 1) * orders})


def output_work(
    plan: DataPlan,
    config: ResolvedRunConfig,
    slots: Sequence[Slot] | int,
    drafts: Mapping[int, DraftLine],
) -> Work:
    """Return the calls that make the outputs of slots, or of so many inputs of the caller.

    Args:
        plan: The plan.
        config: What answers.
        slots: The slots, or how many inputs the caller gave.
        drafts: The drafts of inputs, by slot.
    """
    own_slots = () if isinstance(slots, int) else slots
    count = slots if isinstance(slots, int) else len(slots)
    work = Work()
    if plan.turns:
        work = conversation_work(plan, config, count)
    elif plan.outputs == "task":
        work = Work({config.model: count * config.calls_per_output})
    if plan.outputs == "reference":
        every_slot = [None] * count if isinstance(slots, int) else slots
        work += reference_work(plan, config, every_slot, drafts)
    return work + pair_work(plan, own_slots) if plan.pairs else work


def conversation_work(plan: DataPlan, config: ResolvedRunConfig, count: int) -> Work:
    """Return the calls of conversations that go on for all their turns; the first is written."""
    calls = Counter({config.model: count * plan.turns * config.calls_per_output})
    calls[plan.user_player] += count * (plan.turns - 1)
    return Work(calls)


def reference_work(
    plan: DataPlan,
    config: ResolvedRunConfig,
    slots: Sequence[Slot | None],
    drafts: Mapping[int, DraftLine],
) -> Work:
    """Return the calls that write right answers and verify them."""
    calls = Counter[str]()
    for number, slot in enumerate(slots):
        draft = drafts.get(slot.number) if slot is not None else None
        has_answer = plan.has_quoted_answers and not (draft and draft.sample)
        calls[plan.reference_writer] += not has_answer
        if needs_second_answer(slot, is_quoted=has_answer and not (draft and draft.editor)):
            calls[second_model(plan, number)] += 1 if config.schema is not None else 2
    if plan.clauses:
        for model in verdict_models(plan.checking_models):
            calls[model] += len(slots)
    return Work(calls)


def pair_work(plan: DataPlan, slots: Sequence[Slot]) -> Work:
    """Return the calls that edit outputs, and judge them before and after.

    So many are made if every output passes. One that does not is not edited. References were judged
    by the same questions before. An edit that is not kept is replaced, twice at most.
    """
    edits = sum(slot.aim in EDITED_AIMS and bool(slot.clause) for slot in slots)
    outputs = 0 if plan.outputs == "reference" else len(slots)
    calls = Counter({plan.writer: edits})
    spare_calls = Counter({plan.writer: (EDIT_ROUNDS - 1) * edits})
    for model in verdict_models(plan.checking_models):
        calls[model] += outputs + edits
        spare_calls[model] += (EDIT_ROUNDS - 1) * edits
    return Work(calls, spare_calls)


def slots_a_call(model: str) -> int:
    """Return how many inputs a model writes in one call."""
    return 1 if model == EMBEDDED else INPUTS_A_CALL
