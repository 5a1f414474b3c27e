"""The steps of carrying out a plan: names of topics, inputs, outputs."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.llm import EMBEDDED, Engine
from kiln_mcp.synthesis.conversations import held_conversations
from kiln_mcp.synthesis.coverage_plan import Slot
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generated_items import (
    GeneratedItem,
    PlannedInput,
    answered_items,
    input_of,
    own_input,
    with_draft,
)
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.inputs import (
    CapableMaker,
    InputMaker,
    InputRules,
    MadeInputs,
    Proposal,
    make_inputs,
)
from kiln_mcp.synthesis.list_inputs import ListMaker, detail_fault
from kiln_mcp.synthesis.minimal_pairs import PairMaker
from kiln_mcp.synthesis.new_items import as_stored_text
from kiln_mcp.synthesis.output_checks import open_checks
from kiln_mcp.synthesis.plan_settings import PlanSettings
from kiln_mcp.synthesis.plan_sources import quotes
from kiln_mcp.synthesis.plan_store import DraftLine
from kiln_mcp.synthesis.topic_tree import Namer
from kiln_mcp.synthesis.user_cases import UserCase, opening_of, own_case
from kiln_mcp.synthesis.verified_references import ReferenceMaker
from kiln_mcp.workbench.workspace import Workspace

Report = Callable[[int], Awaitable[None]]


async def with_names(
    engine: Engine, context: GenerationContext, plan: DataPlan, settings: PlanSettings
) -> DataPlan:
    """Return a plan with the topics and personas that its writer names.

    Raises:
        ModelError: The model gave no usable answer.
    """
    if plan.writer == EMBEDDED or plan.inputs:
        return plan
    namer = Namer(engine, plan.writer, context.brief, context.topic_counts)
    changes: dict[str, object] = {}
    if settings.topic_calls:
        paths = await namer.topics(settings.levels, settings.topic_width)
        changes["topics"] = [*paths]
    if settings.invented_personas:
        changes["personas"] = await namer.personas(settings.invented_personas)
    return plan.with_changes(changes)


async def write_inputs(
    engine: Engine,
    context: GenerationContext,
    plan: DataPlan,
    drafts: Mapping[int, DraftLine],
    embeddings: Path | None,
) -> MadeInputs:
    """Return inputs for the slots of a plan that have no draft, or whose draft is to be replaced.

    Args:
        engine: The engine.
        context: What the project has.
        plan: The plan.
        drafts: Drafts of its inputs, by slot.
        embeddings: The folder of the user's embedding model; None to compare letters alone.

    Raises:
        ModelError: The model gave no usable answer.
        Refusal: The embedding model cannot be read.
    """
    notes = {number: draft.note for number, draft in drafts.items() if draft.state == "again"}
    slots = [slot for slot in plan.slots if slot.number in notes or not drafts]
    maker: InputMaker = (
        ListMaker(engine, plan.writer, context.brief)
        if plan.writer == EMBEDDED
        else CapableMaker(engine, context.brief, plan, notes)
    )
    avoid = [
        *context.existing_inputs,
        *plan.examples,
        *(draft.text for draft in drafts.values() if draft.text),
    ]
    sources = [] if plan.source_kind != "trace" else [source.text for source in plan.sources]
    own_texts = context.brief.examples
    rules = InputRules(
        [*avoid, *sources],
        context.brief.input_schema,
        own_texts=own_texts,
        fault_of=detail_fault(own_texts)
        if plan.writer == EMBEDDED
        else lambda proposal: input_fault(plan, proposal),
        embeddings=embeddings,
    )
    return await make_inputs(maker, slots, rules, engine.width([plan.writer]))


def input_fault(plan: DataPlan, proposal: Proposal) -> str:
    """Return what an input lacks that its plan wants beside it; "" for nothing."""
    if plan.turns and proposal.user is None:
        return "its user has no goal"
    if plan.source_kind != "passage":
        return ""
    passage = plan.source_of(proposal.slot)
    if passage is not None and not quotes(passage.text, proposal.quotation):
        return "its words are not in the passage"
    return "" if plan.turns or proposal.output.strip() else "it has no answer"


def draft_of(
    plan: DataPlan, proposal: Proposal, author: str, earlier: DraftLine | None = None
) -> DraftLine:
    """Return an input as a draft that a person looks at, in place of an earlier one."""
    return DraftLine(
        by=author,
        item="" if earlier is None else earlier.item,
        plan_id=plan.id,
        number=proposal.slot.number,
        text=proposal.text,
        output=proposal.output,
        quotation=proposal.quotation,
        **({} if proposal.user is None else asdict(proposal.user)),
    )


def planned_inputs(
    plan: DataPlan, context: GenerationContext, drafts: Mapping[int, DraftLine]
) -> list[PlannedInput]:
    """Return the drafts that are kept as inputs of the task."""
    slots: dict[int, Slot] = {slot.number: slot for slot in plan.slots}
    inputs: list[PlannedInput] = []
    for number, draft in drafts.items():
        if draft.state == "kept" and number in slots:
            user = UserCase(draft.persona, draft.goal, draft.gives_up) if draft.goal else None
            slot = slots[number]
            proposal = Proposal(slot, draft.text, draft.output, draft.quotation, user)
            inputs.append(with_draft(input_of(proposal, plan, context), draft))
    return inputs


def with_missing(plan: DataPlan, drafts: Mapping[int, DraftLine]) -> dict[int, DraftLine]:
    """Return drafts with one for each slot whose input was never written; none for no drafts."""
    if not drafts:
        return {}
    return {
        slot.number: drafts.get(slot.number)
        or DraftLine(plan_id=plan.id, number=slot.number, text="", state="missing")
        for slot in plan.slots
    }


def open_slots(plan: DataPlan, drafts: Mapping[int, DraftLine]) -> tuple[Slot, ...]:
    """Return the slots of a plan that its next step may fill: those without an item."""
    return _slots_in(plan, drafts, {"kept", "again"})


def wanted_slots(plan: DataPlan, drafts: Mapping[int, DraftLine]) -> tuple[Slot, ...]:
    """Return the same with those whose input was never written: they are missed in a result."""
    return _slots_in(plan, drafts, {"kept", "again", "missing"})


def _slots_in(
    plan: DataPlan, drafts: Mapping[int, DraftLine], states: Container[str]
) -> tuple[Slot, ...]:
    if not drafts:
        return plan.slots
    numbers = {number for number, draft in drafts.items() if draft.state in states}
    return tuple(slot for slot in plan.slots if slot.number in numbers)


async def own_inputs(
    context: GenerationContext, values: Sequence[JsonValue], *, is_of_users: bool
) -> tuple[list[PlannedInput], int]:
    """Return the assistant's own inputs, and how many were there already.

    Args:
        context: What the project has.
        values: The inputs; of conversations the first messages with their users.
        is_of_users: Whether conversations are held with simulated users.

    Raises:
        Refusal: An input does not fit the task's schema.
    """
    schema, existing = context.task.input_json_schema, set(context.existing_inputs)
    users = [own_case(value) if is_of_users else None for value in values]
    texts = [
        await as_stored_text(opening_of(value) if is_of_users else value, schema, number, "input")
        for number, value in enumerate(values, 1)
    ]
    # Users with other goals may open a conversation with the same words.
    fresh = [
        (text, user)
        for text, user in dict.fromkeys(zip(texts, users, strict=True))
        if user is not None or text not in existing
    ]
    inputs = [own_input(text, place, context, user) for place, (text, user) in enumerate(fresh)]
    return inputs, len(texts) - len(fresh)


async def make_items(
    workspace: Workspace,
    context: GenerationContext,
    plan: DataPlan,
    inputs: Sequence[PlannedInput],
    report: Report,
) -> list[GeneratedItem]:
    """Return the items of a plan's inputs: with the outputs that it wants."""
    engine = workspace.engine
    if plan.turns:
        items = await held_conversations(engine, context, plan, inputs, report)
    elif plan.outputs == "task":
        items = await answered_items(engine, context, inputs, report)
    else:
        items = []
    if plan.outputs == "reference":
        checks = await open_checks(workspace, context.store, context.task)
        maker = ReferenceMaker(engine, context, plan, checks)
        items = await (maker.make_last_answers(items) if plan.turns else maker.make(inputs))
    return await PairMaker(engine, context, plan).make(items) if plan.pairs else items
