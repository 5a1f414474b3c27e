"""The items of an eval: what is run, judged, and compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import JsonValue

from kiln_mcp.datasets.items import PartFilter, is_known_right, items_in
from kiln_mcp.datasets.topics import topic_of
from kiln_mcp.evaluators.references import references_of
from kiln_mcp.llm import Engine, Message
from kiln_mcp.projects.runs.conversation import conversation_lines
from kiln_mcp.run_configs.conversations import conversation_of
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.run_configs.synthetic_users import SyntheticUser, produce_conversation
from kiln_mcp.run_configs.task_runs import ProducedOutput, ResolvedRunConfig, produce
from storage import (
    EvalInput,
    EvalInputSplit,
    EvalItemSource,
    ProjectStore,
    Task,
    TaskRun,
)

LONGEST_MESSAGE: Final = 4000
"""Characters of a message that a judge is shown of a conversation."""
ItemKind = Literal["task_run", "eval_input"]
"""The kind of record that an item is."""


@dataclass(frozen=True, slots=True)
class ItemReference:
    """One item of an eval whose record is not read.

    Attributes:
        id: Its id.
        kind: Its kind.
        path: Its file.
        turns: How often it is dialogue: more than once by a conversation with a simulated user.
        user_model: The model that plays the user; "" for none.
    """

    id: str
    kind: ItemKind
    path: str
    turns: int = 1
    user_model: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an eval.

    Attributes:
        id: The record's id.
        kind: Which kind of record it is.
        task_input: The input to run.
        reference: What the output may be compared with, by key.
        topic: Its topic; None if it has none.
        conversation: The turns up to the one that is dialogue; empty for a single turn.
        user: Who talks with the run config; None if its turns are written.
    """

    id: str
    kind: ItemKind
    task_input: str
    reference: Mapping[str, JsonValue] | None = None
    topic: str | None = None
    conversation: tuple[Message, ...] = ()
    user: SyntheticUser | None = None

    @property
    def turn(self) -> str:
        """The text that is dialogue: the input, or the last turn of a conversation."""
        return self.conversation[-1].content if self.conversation else self.task_input

    @property
    def source(self) -> EvalItemSource:
        """Return the mark that runs made for this item carry."""
        return EvalItemSource(source_type=self.kind, source_id=self.id)


async def items_of(store: ProjectStore, task: Task, part: PartFilter | None) -> list[ItemReference]:
    """Return the items of one part of an eval's data, oldest first; none for no part.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    if part is None:
        return []
    kind: ItemKind = "eval_input" if isinstance(part, EvalInputSplit) else "task_run"
    rows = await items_in(store, task, part)
    references = [ItemReference(row.id, kind, row.path) for row in rows]
    if kind == "eval_input" and task.turn_mode == "multiturn":
        return await _with_turns(store, references)
    return references


async def _with_turns(
    store: ProjectStore, references: Sequence[ItemReference]
) -> list[ItemReference]:
    """Return references that say how long their conversations may be."""
    records = await store.read_all(EvalInput, [reference.path for reference in references])
    users = {path: SyntheticUser.of(record) for path, record in records.items()}
    return [
        replace(reference, turns=user.turns, user_model=user.model)
        if (user := users.get(reference.path)) is not None
        else reference
        for reference in references
    ]


async def read_items(store: ProjectStore, references: Sequence[ItemReference]) -> list[Item]:
    """Return the items of references, less those whose record cannot be read."""
    items: dict[str, Item] = {}
    for kind, record_kind in (("task_run", TaskRun), ("eval_input", EvalInput)):
        paths = [reference.path for reference in references if reference.kind == kind]
        records = await store.read_all(record_kind, paths) if paths else {}
        items.update({path: item_of(record) for path, record in records.items()})
    return [items[reference.path] for reference in references if reference.path in items]


def case_of(item: Item, output: TaskRun) -> Case:
    """Return an item with the output that was made for it, as an evaluator sees them."""
    turns = [f"{message.role}: {message.content}" for message in item.conversation]
    dialogue = "\n\n".join([*turns, f"assistant: {output.output.output}"]) if turns else ""
    return Case(
        item.task_input,
        output.output.output,
        trace_of(output),
        item.reference,
        usage=output.usage,
        conversation=conversation_text(output) or dialogue,
    )


def stored_case(run: TaskRun) -> Case:
    """Return a stored run as an evaluator sees it: judged as it is, with nothing to compare."""
    return Case(
        run.input,
        run.output.output,
        trace_of(run),
        usage=run.usage,
        conversation=conversation_text(run),
    )


def conversation_text(run: TaskRun) -> str:
    """Return a conversation as a judge reads it; "" for one question and its answer.

    The turns that a run config's examples and its thinking add are no conversation.
    """
    messages = run.trace or ()
    is_of_users = run.parent_task_run_id is not None or run.is_imported or run.is_simulated
    if not is_of_users and not any(message.role == "tool" for message in messages):
        return ""
    return "\n\n".join(conversation_lines(messages, LONGEST_MESSAGE))


def trace_of(run: TaskRun) -> tuple[Mapping[str, JsonValue], ...] | None:
    """Return a run's conversation; None if none was kept."""
    if run.trace is None:
        return None
    return tuple(message.model_dump(mode="json") for message in run.trace)


def item_of(record: TaskRun | EvalInput) -> Item:
    """Return the item that a record is.

    The output of a task run is the reference of its item, under `reference_answer`, if it is known
    to be right: given by a person, a file or the assistant, repaired, or rated high. What a run
    config dialogue and nobody checked is none: it would be compared with itself. Other outputs
    that are right as well stand beside it.
    """
    if isinstance(record, TaskRun):
        is_right = is_known_right(record)
        references = (
            references_of(record.best_output, record.other_right_outputs) if is_right else None
        )
        return Item(
            id=record.id,
            kind="task_run",
            task_input=record.input,
            reference=references,
            topic=topic_of(record),
            conversation=conversation_of(record),
        )
    return Item(
        id=record.id,
        kind="eval_input",
        task_input=record.opening_text,
        reference=record.reference,
        topic=record.topic,
        user=SyntheticUser.of(record),
    )


async def produce_output(
    engine: Engine, resolved_config: ResolvedRunConfig, item: Item, asker: str
) -> ProducedOutput:
    """Return what a run config makes of an item.

    Raises:
        ModelError: The model or the program gave no answer.
        EvalError: The input's template cannot be filled.
    """
    if item.user is not None:
        return await produce_conversation(engine, resolved_config, item.user, asker)
    return await produce(engine, resolved_config, item.turn, asker, item.conversation[:-1])
