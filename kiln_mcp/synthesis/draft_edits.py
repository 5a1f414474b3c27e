"""What a person does to the drafts of a plan's inputs, and to the items that were made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.new_items import as_stored_text
from kiln_mcp.synthesis.plan_settings import PlanSettings
from kiln_mcp.synthesis.plan_store import DraftLine
from storage import Task
from storage.errors import NextStep, Refusal


@dataclass(frozen=True, slots=True)
class DraftEdits:
    """Edits of the drafts of one plan.

    Attributes:
        plan: The plan.
        task: The task that inputs are for.
        author: Who edits.
    """

    plan: DataPlan
    task: Task
    author: str

    async def of(
        self, drafts: Mapping[int, DraftLine], settings: PlanSettings
    ) -> Mapping[int, DraftLine]:
        """Return the drafts that an edit changes, as it leaves them.

        Raises:
            Refusal: There is no draft of such a number.
        """
        plan = self.plan
        numbers = {*settings.drop, *settings.texts, *settings.rewrite, *settings.redo}
        if unknown := sorted(numbers - drafts.keys()):
            raise Refusal(
                "The plan '{id}' has no drafts {numbers}. Its drafts: {drafts}.",
                id=plan.id,
                numbers=unknown,
                drafts=list(drafts) or "none; carry it out with stop_after_inputs first",
            )
        if items := sorted(n for n in settings.drop if drafts[n].item):
            raise _dropped_items(plan, [drafts[n].item for n in items])
        if without_item := sorted(n for n in settings.redo if not drafts[n].item):
            raise _nothing_to_redo(plan, without_item)
        if unwritten := sorted(
            n for n in settings.texts if not self._is_whole(drafts[n], settings)
        ):
            raise _unwritten(plan, unwritten)
        edits: dict[int, dict[str, str | int]] = {n: {"state": "dropped"} for n in settings.drop}
        for number, edit in settings.texts.items():
            values = {"text": edit} if isinstance(edit, str) else edit.values
            if "text" in values:
                schema = self.task.input_json_schema
                values["text"] = await as_stored_text(values["text"], schema, number, "input")
            own = {"state": "kept", "editor": self.author, "note": "", "sample": 0}
            edits[number] = {**own, **values}
        edits |= {n: {"state": "again", "note": note} for n, note in settings.rewrite.items()}
        for number, note in settings.redo.items():
            sample = drafts[number].sample + 1
            edits[number] = {"state": "kept", "note": note, "sample": sample}
        by = {"at": datetime.now(UTC), "by": self.author}
        return {
            **drafts,
            **{n: drafts[n].model_copy(update=by | edit) for n, edit in edits.items()},
        }

    def _is_whole(self, draft: DraftLine, settings: PlanSettings) -> bool:
        """Return whether an edited draft has an input, and in a conversation a goal."""
        edit = settings.texts[draft.number]
        values = {"text": edit} if isinstance(edit, str) else edit.values
        needs = ("text", "goal") if self.plan.turns else ("text",)
        own = {"text": draft.text, "goal": draft.goal} | values
        return all(own[name].strip() for name in needs)


def _unwritten(plan: DataPlan, numbers: list[int]) -> Refusal:
    return Refusal(
        "The drafts {numbers} of the plan '{id}' would have no input{goal}. Give it in `texts` as "
        "an object.",
        numbers=numbers,
        id=plan.id,
        goal=" or no goal of the user" if plan.turns else "",
    )


def _dropped_items(plan: DataPlan, items: list[str]) -> Refusal:
    return Refusal(
        "The plan '{id}' has made items of these drafts: {items}. Delete the items instead.",
        id=plan.id,
        items=items,
        next=[
            NextStep(
                tool="delete_records",
                reason="put them into the trash",
                arguments={"kind": "run", "records": list[JsonValue](items)},
            )
        ],
    )


def _nothing_to_redo(plan: DataPlan, numbers: list[int]) -> Refusal:
    return Refusal(
        "The drafts {numbers} of the plan '{id}' have no output yet that could be made again. Use "
        "`rewrite` for an input, or carry the plan out.",
        id=plan.id,
        numbers=numbers,
    )
