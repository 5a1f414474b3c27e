"""The items of an eval: what is run, judged, and compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from kiln_mcp.datasets.items import Split, split_items
from kiln_mcp.evaluators.llm_judge import REFERENCE_KEY
from kiln_mcp.run_configs.templates import Case
from storage import EvalInput, EvalItemSource, TaskRun, is_high_quality

FROM_ASSISTANT = "host"
"""The provider of outputs that the connected assistant gave as right."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an eval.

    Attributes:
        id: The record's id.
        kind: Which kind of record it is.
        task_input: The input to run.
        reference: What the output may be compared with, by key.
    """

    id: str
    kind: Literal["task_run", "eval_input"]
    task_input: str
    reference: Mapping[str, JsonValue] | None = None

    @property
    def source(self) -> EvalItemSource:
        """Return the mark that runs made for this item carry."""
        return EvalItemSource(source_type=self.kind, source_id=self.id)


def items_of(split: Split, runs: Sequence[TaskRun], inputs: Sequence[EvalInput]) -> list[Item]:
    """Return the items of one part of an eval's data, oldest first.

    The output of a task run is the reference of its item, under `reference_answer`, where it is
    known to be right: given by a person, a file or the assistant, repaired, or rated high. What a
    run config answered and nobody checked is none: it would be compared with itself.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    return [_item(record) for record in split_items(split, runs, inputs)]


def case_of(item: Item, output: TaskRun) -> Case:
    """Return an item with the output that was made for it, as an evaluator sees them."""
    return Case(item.task_input, output.output.output, trace_of(output), item.reference)


def stored_case(run: TaskRun) -> Case:
    """Return a stored run as an evaluator sees it: judged as it is, with nothing to compare."""
    return Case(run.input, run.output.output, trace_of(run))


def trace_of(run: TaskRun) -> tuple[Mapping[str, JsonValue], ...] | None:
    """Return a run's conversation; None if none was kept."""
    if run.trace is None:
        return None
    return tuple(message.model_dump(mode="json") for message in run.trace)


def _item(record: TaskRun | EvalInput) -> Item:
    if isinstance(record, TaskRun):
        reference = {REFERENCE_KEY: record.best_output} if _is_known_right(record) else None
        return Item(record.id, "task_run", record.input, reference)
    data = record.data
    opening = data.user_message if data.type == "single_turn" else data.first_message
    return Item(record.id, "eval_input", opening.text if opening else "", record.reference)


def _is_known_right(run: TaskRun) -> bool:
    source = run.output.source
    if is_high_quality(run) or source is None or source.type != "synthetic":
        return True
    return source.properties.get("model_provider") == FROM_ASSISTANT
