"""Plans and drafts of inputs, as lines of a file beside their task; the newest line counts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.synthesis.data_plan import DataPlan
from storage import Change, ProjectStore, Task
from storage.errors import NextStep, Refusal
from storage.text.suggestions import did_you_mean

PLANS: Final = "kiln_mcp_data_plans.jsonl"
DRAFTS: Final = "kiln_mcp_data_drafts.jsonl"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    by: str = ""


class PlanLine(_Line):
    """One version of a plan."""

    plan: DataPlan


class DraftLine(_Line):
    """One version of a draft of an input.

    Attributes:
        plan_id: The plan.
        number: The slot that it fills.
        text: The input.
        output: The right output that came with it; "" for none.
        quotation: The words of the passage that this rests on; "" for none.
        persona: Who the simulated user is; "" for an input without one.
        goal: What they want.
        gives_up: When they stop asking.
        editor: Who gave it other words; "" if it is as it was written.
        state: Whether it is kept, left out, to be written again, made an item, or was never
            written because no answer could be used.
        note: What is wished of what is written again: the input, or the output of a kept one.
        item: The run that was made of it; "" if none was.
        sample: Which of several outputs of it is wanted; 0 for the first.
    """

    plan_id: str
    number: int
    text: str
    output: str = ""
    quotation: str = ""
    persona: str = ""
    goal: str = ""
    gives_up: str = ""
    editor: str = ""
    state: Literal["kept", "dropped", "again", "made", "missing"] = "kept"
    note: str = ""
    item: str = ""
    sample: int = 0


LineT = TypeVar("LineT", PlanLine, DraftLine)


async def find_plan(store: ProjectStore, task: Task, plan_id: str) -> DataPlan:
    """Return the newest version of a plan.

    Raises:
        Refusal: The task has no such plan.
    """
    plans = await plans_of(store, task)
    if plan_id in plans:
        return plans[plan_id]
    raise Refusal(
        "The task '{task}' has no plan '{id}' of generated data.{hint} Its plans: {ids}.",
        task=task.name,
        id=plan_id,
        hint=did_you_mean(plan_id, plans),
        ids=[*plans][-10:] or "none",
        next=[NextStep(tool="generate_data", reason='make one: plan="new"')],
    )


async def plans_of(store: ProjectStore, task: Task) -> dict[str, DataPlan]:
    """Return the newest version of each plan, by their ids, the oldest first."""
    plans = {line.plan.id: line.plan for line in await _lines(store, task, PLANS, PlanLine)}
    return {name: plan for name, plan in plans.items() if plan.stage != "deleted"}


async def drafts_of(store: ProjectStore, task: Task, plan_id: str) -> dict[int, DraftLine]:
    """Return the drafts of a plan's inputs, by the numbers of their slots, in order."""
    lines = await _lines(store, task, DRAFTS, DraftLine)
    drafts = {line.number: line for line in lines if line.plan_id == plan_id}
    return {number: drafts[number] for number in sorted(drafts)}


def add_plan(change: Change, task: Task, plan: DataPlan, author: str) -> None:
    """Note a version of a plan to be written."""
    change.append_lines(task, PLANS, [PlanLine(by=author, plan=plan).model_dump_json()])


def add_drafts(change: Change, task: Task, drafts: Iterable[DraftLine]) -> None:
    """Note versions of drafts to be written."""
    change.append_lines(task, DRAFTS, [draft.model_dump_json() for draft in drafts])


async def _lines(store: ProjectStore, task: Task, name: str, kind: type[LineT]) -> Sequence[LineT]:
    """Return the lines of a file, the oldest first; a damaged one is left out."""
    lines: list[LineT] = []
    for text in await store.side_lines(task, name):
        try:
            lines.append(kind.model_validate_json(text.encode("utf-8", "surrogateescape")))
        except ValidationError:
            continue
    return sorted(lines, key=lambda line: line.at)
