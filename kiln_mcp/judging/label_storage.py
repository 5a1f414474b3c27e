"""Save labels as Kiln's ratings and in the eval's ledger."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.rating_criteria import criterion_of, with_rating
from kiln_mcp.judging.answers import SavedLabels
from kiln_mcp.judging.warnings import hygiene_warnings, ledger_warnings
from kiln_mcp.labels.golden_set import GoldenSet, open_golden_set, read_golden_runs
from kiln_mcp.labels.ledger import Label, append_labels
from storage import ProjectStore
from storage.errors import NextStep, RecordNotFound

ENOUGH_LABELS: Final = 12
"""Labels from which on a measurement is worth its calls."""


async def save_labels(
    store: ProjectStore, golden_set: GoldenSet, entries: Sequence[Label]
) -> SavedLabels:
    """Save the entries of a batch in one transaction, as ratings and in the ledger.

    A label that nobody confirmed changes no rating of an item that has a confirmed label.
    """
    items = {run.id: run for run in golden_set.runs}
    runs = await read_golden_runs(store, golden_set, (entry.item for entry in entries))
    scores = {score.json_key: score for score in golden_set.scores}
    async with store.transaction() as change:
        for entry in entries:
            score, item = scores[entry.score], items[entry.item]
            if entry.item not in runs:
                raise RecordNotFound("task_run", entry.item)
            if entry.confirmed or golden_set.certificate_label(item, score) is None:
                criterion = criterion_of(score, golden_set.task_eval.task)
                amendment = partial(with_rating, criterion=criterion, value=entry.value)
                change.amend(runs[entry.item], amendment)
        append_labels(change, golden_set.task_eval.eval_record, entries)
    return _result(await open_golden_set(store, golden_set.task_eval), entries)


async def save_unconfirmed_labels(
    store: ProjectStore, golden_set: GoldenSet, entries: Sequence[Label], approval_id: str
) -> SavedLabels:
    """Save labels that an assistant passed on, and say how the person confirms them."""
    result = await save_labels(store, golden_set, entries)
    approval: dict[str, JsonValue] = {"approval_id": approval_id}
    return result.model_copy(
        update={
            "message": "The labels are saved as passed on by an assistant, and measure nothing. "
            f"The person confirms them in a terminal with: kiln-mcp approve {approval_id}.",
            "next": [
                NextStep(
                    tool="label_items",
                    reason="then save them as confirmed, with the approval alone",
                    arguments=approval,
                )
            ],
        }
    )


def _result(golden_set: GoldenSet, entries: Sequence[Label]) -> SavedLabels:
    """Return the counts of the entries and of the golden set after the save."""
    certificate = sum(entry.certifies for entry in entries)
    of_draws = sum(entry.draw is not None for entry in entries)
    complete = len(golden_set.complete)
    lines = {(label.item, label.score, label.rater, label.at) for label in golden_set.labels}
    return SavedLabels(
        eval=golden_set.task_eval.name,
        saved=len(entries),
        repeats=sum((e.item, e.score, e.rater, e.at) not in lines for e in entries),
        certificate=certificate,
        development=len(entries) - of_draws,
        unconfirmed_labels=of_draws - certificate,
        labelled_items=complete,
        unlabelled_items=len(golden_set.runs) - complete,
        warnings=[
            *ledger_warnings(golden_set),
            *hygiene_warnings(
                golden_set, {s.json_key: golden_set.labelled_runs(s) for s in golden_set.scores}
            ),
        ],
        next=[_next_step(golden_set.task_eval.name, complete)],
    )


def _next_step(name: str, labelled_items: int) -> NextStep:
    if labelled_items >= ENOUGH_LABELS:
        return NextStep(
            tool="check_judge",
            reason="measure how far the judges agree with these labels",
            arguments={"eval": name},
        )
    return NextStep(tool="draw_items_to_label", reason="draw more items", arguments={"eval": name})
