"""Generated items: the outputs of a plan's inputs, and why some slots stay empty."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from kiln_mcp.datasets import lineage
from kiln_mcp.llm import EMBEDDED, Engine, Message
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.synthesis.answers import OutcomeCoverage, TopicCoverage
from kiln_mcp.synthesis.coverage_plan import Aim, Slot
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.inputs import Proposal, prompt_name
from kiln_mcp.synthesis.last_answers import history_of, question_of
from kiln_mcp.synthesis.new_items import source_of
from kiln_mcp.synthesis.outputs import TaskInput, answer_all
from kiln_mcp.synthesis.plan_store import DraftLine
from kiln_mcp.synthesis.user_cases import UserCase
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import DataSource, TaskRun
from storage.records.run import TOPIC

GENERATOR = "kiln_data_gen"
"""The adapter that Kiln names for generated inputs."""
DROPPED = "no usable input was written"


@dataclass(frozen=True, slots=True)
class PlannedInput:
    """An input of a plan.

    Attributes:
        id: The id of the item that is made of it.
        slot: The slot that it fills; None for one of the caller's own.
        task_input: The input of the task.
        output: The right output that came with it; "" for none.
        quotation: The words of a passage that this rests on; "" for none.
        user: The simulated user; None for a single question.
        material: The passage that right answers rest on; "" for none.
        is_edited: Whether a person changed it after it was written.
        note: What a person wishes of the output.
        replaces: The run that the item takes the place of; "" for none.
        conversation: The conversation whose last answer is wanted; None for a single question.
    """

    id: str
    slot: Slot | None
    task_input: TaskInput
    output: str = ""
    quotation: str = ""
    user: UserCase | None = None
    material: str = ""
    is_edited: bool = False
    note: str = ""
    replaces: str = ""
    conversation: TaskRun | None = None

    @property
    def last_message(self) -> str:
        """What the wanted output answers: the input, or the last turn of the user."""
        run = self.conversation
        return self.task_input.text if run is None else run.user_turns[-1]

    @property
    def is_quoted(self) -> bool:
        """Whether its answer came with it and rests on words of a passage, as it was written."""
        return bool(self.output and self.quotation) and not self.is_edited

    @property
    def question(self) -> str:
        """The same with all that was said before, as a judge reads it."""
        run = self.conversation
        return self.task_input.text if run is None else question_of(run)

    @property
    def history(self) -> tuple[Message, ...]:
        """The turns before the last one."""
        return () if self.conversation is None else history_of(self.conversation)


@dataclass(frozen=True, slots=True)
class GeneratedItem:
    """What became of one input.

    Attributes:
        planned_input: The input.
        run: The item; None if there is none.
        reason: Why there is none, or why a person must look; "" if all is well.
        outcome: What was verified of the output; None if nothing was.
        earlier_turns: The runs of the turns before, in a conversation.
        stop: Why the conversation ended; "" for a single question.
    """

    planned_input: PlannedInput
    run: TaskRun | None
    reason: str = ""
    outcome: Aim | None = None
    earlier_turns: tuple[TaskRun, ...] = ()
    stop: str = ""


def input_of(proposal: Proposal, plan: DataPlan, context: GenerationContext) -> PlannedInput:
    """Return a proposal as an input of the task, with where it came from."""
    slot, model_name = proposal.slot, stored_model(plan.writer)
    properties: dict[str, str | int | float] = {
        "model_name": model_name.name,
        "model_provider": model_name.provider,
        "adapter_name": GENERATOR,
        lineage.AIM: str(slot.aim),
        "seed": plan.seed,
        lineage.PLAN: plan.id,
    }
    texts = {
        TOPIC: slot.topic,
        lineage.CLAUSE: slot.clause,
        lineage.PERSONA: slot.persona,
        lineage.LABEL: slot.label,
        lineage.QUOTATION: proposal.quotation,
    }
    if proposal.user is not None:
        texts |= _user_properties(proposal.user)
    properties |= {name: text for name, text in texts.items() if text}
    source = plan.source_of(slot)
    if source is not None:
        is_trace = plan.source_kind == "trace"
        properties[lineage.SEED_EXAMPLE if is_trace else lineage.DOCUMENT] = source.name
        if not is_trace:
            properties[lineage.PASSAGE] = source.number
    if plan.writer != EMBEDDED:
        prompt = load_prompt("synthesis", prompt_name(plan))
        properties["prompt_fingerprint"] = prompt.fingerprint
    task_input = TaskInput(
        proposal.text, DataSource(type="synthetic", properties=properties), tags_of(context)
    )
    run_id = context.ids[slot.number - 1]
    material = source.text if source is not None and plan.source_kind == "passage" else ""
    return PlannedInput(
        run_id, slot, task_input, proposal.output, proposal.quotation, proposal.user, material
    )


def own_input(
    text: str, place: int, context: GenerationContext, user: UserCase | None = None
) -> PlannedInput:
    """Return an input that the assistant wrote, with its user in a conversation."""
    source = source_of("assistant")
    if user is not None:
        source = source.replace(properties={**source.properties, **_user_properties(user)})
    task_input = TaskInput(text, source, tags_of(context))
    return PlannedInput(context.ids[place], None, task_input, user=user)


def _user_properties(user: UserCase) -> dict[str, str]:
    texts = {
        lineage.PERSONA: user.persona,
        lineage.GOAL: user.goal,
        lineage.GIVES_UP: user.gives_up,
    }
    return {name: text for name, text in texts.items() if text}


def with_draft(item: PlannedInput, draft: DraftLine) -> PlannedInput:
    """Return an input with what a person did to its draft."""
    own = {lineage.EDITOR: draft.editor, lineage.PREDECESSOR: draft.item}
    task_input = item.task_input
    properties = {**task_input.source.properties, **{n: text for n, text in own.items() if text}}
    source = task_input.source.replace(properties=properties)
    return replace(
        item,
        task_input=replace(task_input, source=source, sample=draft.sample),
        output="" if draft.sample else item.output,
        is_edited=bool(draft.editor),
        note=draft.note,
        replaces=draft.item,
    )


def tags_of(context: GenerationContext) -> tuple[str, ...]:
    """Return the tags of all items of a generation."""
    return ("synthetic", context.session_tag)


async def answered_items(
    engine: Engine,
    context: GenerationContext,
    inputs: Sequence[PlannedInput],
    report: Callable[[int], Awaitable[None]],
) -> list[GeneratedItem]:
    """Return items with what the task really answers."""
    task_inputs = [item.task_input for item in inputs]
    answers = await answer_all(engine, context.config, context.resolved_config, task_inputs, report)
    return [
        GeneratedItem(
            item,
            None if run is None else run.replace(id=item.id),
            answers.failures.get(place, ""),
        )
        for place, (item, run) in enumerate(zip(inputs, answers.runs, strict=True))
    ]


def coverage_by_outcome(
    plan: DataPlan, slots: Sequence[Slot], items: Sequence[GeneratedItem]
) -> list[OutcomeCoverage]:
    """Return for each clause and outcome how many items were planned and are there, and why.

    An item of a plan with pairs counts for the outcome that was verified. Else it counts for the
    one that its input was made for.

    Args:
        plan: The plan.
        slots: Those of its slots that were to be filled.
        items: What came of them.
    """
    plan_counts = Counter((slot.clause, slot.aim) for slot in slots)
    items_by_slot = {
        item.planned_input.slot.number: item
        for item in items
        if item.planned_input.slot is not None
    }
    counts: Counter[tuple[str, Aim]] = Counter()
    reasons: defaultdict[tuple[str, Aim], Counter[str]] = defaultdict(Counter)
    for slot in slots:
        item = items_by_slot.get(slot.number)
        if item is not None and item.run is not None:
            outcome = (item.outcome if plan.pairs else None) or slot.aim
            counts[slot.clause, outcome] += 1
            if outcome is not slot.aim:
                reason = f": {item.reason}" if item.reason else ""
                reasons[slot.clause, slot.aim][f"came out as {outcome}{reason}"] += 1
            elif item.reason:
                reasons[slot.clause, slot.aim][item.reason] += 1
        else:
            reasons[slot.clause, slot.aim][item.reason if item else DROPPED] += 1
    rows = [
        OutcomeCoverage(
            clause=clause or None,
            outcome=str(aim),
            quota=plan_counts[clause, aim],
            items=counts[clause, aim],
            why="; ".join(f"{n}: {text}" for text, n in reasons[clause, aim].most_common(3)),
        )
        for clause, aim in dict.fromkeys([*plan_counts, *counts])
    ]
    return sorted(rows, key=lambda row: (row.items - row.quota, row.clause or "", row.outcome))


def coverage_by_topic(slots: Sequence[Slot], items: Sequence[GeneratedItem]) -> list[TopicCoverage]:
    """Return for each topic how many items were planned and are there."""
    plan_counts = Counter(slot.topic for slot in slots)
    counts = Counter(
        item.planned_input.slot.topic
        for item in items
        if item.planned_input.slot is not None and item.run is not None
    )
    rows = [
        TopicCoverage(topic=topic or "any", quota=count, items=counts[topic])
        for topic, count in plan_counts.items()
    ]
    return sorted(rows, key=lambda row: (row.items - row.quota, row.topic))
