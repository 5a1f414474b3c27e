"""A plan of generated data as a person reads it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from kiln_mcp.llm import Engine
from kiln_mcp.synthesis.answers import DataPlanReport, InputDraft, PlanClauseRow, PlanTopicRow
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.model_families import shared_families
from kiln_mcp.synthesis.plan_calls import Work
from kiln_mcp.synthesis.plan_store import DraftLine
from storage.errors import NextStep
from storage.text.excerpts import excerpt, with_remainder

_SETTINGS: Final = (
    *("guidance", "examples", "seed", "spec", "run_config", "writer", "outputs"),
    *("reference_model", "checkers", "pairs", "turns", "user_model", "stop_after_inputs"),
)
_NO_CALLS: Final = "No step is left that asks a model."
_LONGEST_SOURCES: Final = {"passage": 160, "trace": 4000}
"""Characters that are shown: of a trace all, so that a person sees what of it is personal."""


async def plan_report(
    engine: Engine,
    context: GenerationContext,
    plan: DataPlan,
    work: Work,
    drafts: Mapping[int, DraftLine],
) -> DataPlanReport:
    """Return a plan with what its next step takes."""
    estimate = await work.plan(engine, "The next step:")
    values = plan.model_dump(mode="json")
    return DataPlanReport(
        id=plan.id,
        stage=plan.stage,
        count=plan.count,
        calls=sum(work.calls.values()),
        spare_calls=sum(work.spare_calls.values()),
        calls_by_model={model: count for model, count in work.calls.items() if count},
        cost=estimate.text if any(work.calls.values()) else _NO_CALLS,
        clauses=_clause_rows(plan),
        topics=_topic_rows(plan, context),
        personas=plan.personas,
        labels=plan.labels,
        sources=[
            excerpt(
                f"{number}. {source.name} {source.number or ''}: {source.text}",
                _LONGEST_SOURCES.get(plan.source_kind, 0),
            )
            for number, source in enumerate(plan.sources, 1)
        ],
        settings={name: values[name] for name in _SETTINGS if values[name]},
        drafts=_draft_rows(plan, drafts),
        warnings=[
            *_missing_notes(drafts),
            *_turn_notes(plan),
            *_topic_notes(plan),
            *source_notes(plan),
            *warnings_of(plan, context),
        ],
        next=_next_steps(plan, str(context.store.folder)),
    )


def warnings_of(plan: DataPlan, context: GenerationContext) -> list[str]:
    """Return where models of one family write, answer and check."""
    checkers = plan.checking_models if plan.pairs or plan.outputs == "reference" else []
    if plan.inputs:
        return shared_families(context.resolved_config.model, "", checkers) if checkers else []
    return shared_families(context.resolved_config.model, plan.writer, checkers)


def source_notes(plan: DataPlan) -> list[str]:
    """Return how many of the passages or traces that are there a plan uses, if not all."""
    used_count = len({slot.source for slot in plan.slots if slot.source})
    if plan.inputs or not plan.sources or used_count >= plan.source_total:
        return []
    source_count = len(plan.sources)
    text = f"Inputs come from {used_count:,} of {plan.source_total:,} {plan.source_kind}s."
    if source_count < plan.source_total:
        text += f" The plan holds {source_count:,}, drawn from all of them by its seed."
    if used_count < source_count:
        text += f" A count of {source_count:,} uses each that it holds."
    return [text]


def _turn_notes(plan: DataPlan) -> list[str]:
    """Return what a person should know of the calls of conversations."""
    if not plan.turns:
        return []
    return [
        f"The calls are those of conversations that all go on for {plan.turns} turns. Users who "
        "have what they want, or give up, end theirs earlier."
    ]


def _missing_notes(drafts: Mapping[int, DraftLine]) -> list[str]:
    """Return which inputs were never written, and what a person may do."""
    numbers = [str(number) for number, draft in drafts.items() if draft.state == "missing"]
    if not numbers:
        return []
    names = ", ".join(with_remainder(numbers[:10], len(numbers)))
    return [
        f"No usable input was written for {len(numbers)} of {len(drafts)}: {names}. Write them as "
        "`texts`, or have them written with a note as `rewrite`."
    ]


def _topic_notes(plan: DataPlan) -> list[str]:
    """Return which topics get no item, as those of a plan with fewer items than topics."""
    slot_topics = {slot.topic for slot in plan.slots}
    without = [topic.path for topic in plan.topics if topic.share and topic.path not in slot_topics]
    if not without or plan.inputs:
        return []
    names = ", ".join(with_remainder(without[:5], len(without)))
    noun = "1 topic gets" if len(without) == 1 else f"{len(without)} topics get"
    return [f"{noun} no item: {names}. Raise the count to {len(plan.topics)}."]


def _clause_rows(plan: DataPlan) -> list[PlanClauseRow]:
    counts_by_clause: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for quota in plan.quotas:
        counts_by_clause[quota.clause][str(quota.aim)] = quota.count
    return [
        PlanClauseRow(clause=clause, text=plan.clause_texts.get(clause, ""), quotas=counts)
        for clause, counts in counts_by_clause.items()
    ]


def _topic_rows(plan: DataPlan, context: GenerationContext) -> list[PlanTopicRow]:
    plan_counts = Counter(slot.topic for slot in plan.slots)
    existing = context.topic_counts
    return [
        PlanTopicRow(topic=path or "any", quota=plan_counts[path], existing=existing.get(path, 0))
        for path in dict.fromkeys([*(topic.path for topic in plan.topics), *plan_counts])
    ]


def _draft_rows(plan: DataPlan, drafts: Mapping[int, DraftLine]) -> list[InputDraft]:
    slots = {slot.number: slot for slot in plan.slots}
    return [
        InputDraft(
            number=number,
            input=draft.text,
            topic=slots[number].topic,
            aim=str(slots[number].aim),
            output=draft.output,
            persona=draft.persona,
            goal=draft.goal,
            gives_up=draft.gives_up,
            state=draft.state,
            item=draft.item,
        )
        for number, draft in drafts.items()
        if number in slots
    ]


def _next_steps(plan: DataPlan, project: str) -> list[NextStep]:
    if plan.stage == "deleted":
        return []
    edit = '{"id": …, "topics": …, "quotas": …, "stop_after_inputs": true}'
    if plan.sources:
        edit = '{"id": …, "hide": ["a name"], "source_texts": {"2": …}, "drop_sources": [3]}'
    if plan.stage == "done":
        edit = '{"id": …, "texts": {"4": …}, "rewrite": {"5": "a note"}, "redo": {"6": "a note"}}'
        return [
            NextStep(
                tool="generate_data",
                reason=f"have inputs or outputs of single items made again: plan={edit}",
                arguments={"project": project, "plan": {"id": plan.id}},
            )
        ]
    if plan.stage == "inputs":
        edit = '{"id": …, "drop": [3], "texts": {"4": …}, "rewrite": {"5": "a note"}}'
    return [
        NextStep(
            tool="generate_data",
            reason="carry it out once the person agrees",
            arguments={"project": project, "plan": plan.id},
        ),
        NextStep(
            tool="generate_data",
            reason=f"or change it: plan={edit}",
            arguments={"project": project, "plan": {"id": plan.id}},
        ),
    ]
