"""Save labels as Kiln's ratings and in the ledgers of evals."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.rating_criteria import criterion_of, with_rating
from kiln_mcp.judging.answers import SavedLabels
from kiln_mcp.judging.review_reports import review_outcome
from kiln_mcp.judging.warnings import hygiene_warnings, pass_warnings
from kiln_mcp.labels.entries import EvalLabels
from kiln_mcp.labels.golden_set import GoldenSet, open_golden_set, read_outputs
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Label, append_labels
from storage import Change, EvalOutputScore, ProjectStore, TaskRun
from storage.errors import NextStep, RecordNotFound

ENOUGH_LABELS: Final = 12
"""Labels from which on a measurement is worth its calls."""


async def save_labels(store: ProjectStore, labels: Sequence[EvalLabels]) -> SavedLabels:
    """Save labels, and return the counts of the golden sets after it."""
    await write_labels(store, labels)
    parts = [
        replace(part, golden_set=await open_golden_set(store, part.golden_set.task_eval))
        for part in labels
    ]
    outcome = await review_outcome(store, parts)
    update = {
        "message": " ".join(outcome.sentences) or None,
        "differences": list(outcome.differences),
    }
    return _result(parts).model_copy(update=update)


async def save_unconfirmed_labels(
    store: ProjectStore, labels: Sequence[EvalLabels], approval_id: str
) -> SavedLabels:
    """Save labels that an assistant passed on, and say how the person confirms them."""
    result = await save_labels(store, labels)
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


async def write_labels(store: ProjectStore, labels: Sequence[EvalLabels]) -> None:
    """Write labels of several evals in one transaction, as ratings and in the ledgers.

    Labels for a certificate become no ratings: nothing but the estimate may see them.

    Raises:
        RecordNotFound: An item cannot be read.
    """
    items = {
        run.id: run
        for part in labels
        for entry in part.entries
        for run in (part.golden_set.item(entry.item),)
    }
    runs = await read_outputs(store, list(items.values()))
    async with store.transaction() as change:
        for part in labels:
            for entry in part.entries:
                if entry.item not in runs:
                    raise RecordNotFound("task_run", entry.item)
                _rate(change, part.golden_set, entry, runs[entry.item])
            append_labels(change, part.golden_set.task_eval.eval_record, part.entries)


def _rate(change: Change, golden_set: GoldenSet, entry: Label, run: TaskRun) -> None:
    """Write a label as the rating of its item, if it changes that."""
    score = next(score for score in golden_set.scores if score.json_key == entry.score)
    item = golden_set.item(entry.item)
    if not _changes_rating(golden_set, entry, score):
        return
    value = entry.value
    if entry.purpose == "certificate":
        value = None  # it was rated when an assistant passed the label on
    elif entry.state == "withdrawn":
        value = golden_set.rating(item, score)
    criterion = criterion_of(score, golden_set.task_eval.task)
    change.amend(run, partial(with_rating, criterion=criterion, value=value))


def _changes_rating(golden_set: GoldenSet, entry: Label, score: EvalOutputScore) -> bool:
    """Return whether a label changes the rating of its item."""
    if entry.purpose == "repeat" or entry.state == "skipped":
        return False
    item = golden_set.item(entry.item)
    if entry.purpose == "certificate":
        last = golden_set.last_label(item, score)
        return entry.certifies and last is not None and golden_set.waits(last)
    return golden_set.certificate_label(item, score) is None


def _result(labels: Sequence[EvalLabels]) -> SavedLabels:
    """Return the counts of labels and of golden sets after they were saved."""
    entries = [entry for part in labels for entry in part.entries]
    labelling = LabellingPass([part.golden_set for part in labels])
    certificate = sum(entry.certifies for entry in entries)
    unconfirmed_labels = sum(part.golden_set.waits(e) for part in labels for e in part.entries)
    complete = len(labelling.complete)
    lines = {
        (golden_set.task_eval.id, label.item, label.score, label.rater, label.at)
        for golden_set in labelling.golden_sets
        for label in golden_set.labels
    }
    return SavedLabels(
        eval=", ".join(labelling.eval_names),
        saved=len(entries),
        repeats=sum(
            (part.golden_set.task_eval.id, e.item, e.score, e.rater, e.at) not in lines
            for part in labels
            for e in part.entries
        ),
        certificate=certificate,
        development=len(entries) - certificate - unconfirmed_labels,
        unconfirmed_labels=unconfirmed_labels,
        labelled_items=complete,
        unlabelled_items=len(labelling.runs) - complete,
        warnings=[
            *pass_warnings(labelling),
            *(
                warning
                for golden_set in labelling.golden_sets
                for warning in hygiene_warnings(
                    golden_set, {s.json_key: golden_set.labelled_runs(s) for s in golden_set.scores}
                )
            ),
        ],
        next=[_next_step(labelling.eval_names, complete)],
    )


def _next_step(names: Sequence[str], labelled_items: int) -> NextStep:
    if labelled_items >= ENOUGH_LABELS:
        return NextStep(
            tool="check_judge",
            reason="measure how far the judges agree with these labels",
            arguments={"eval": names[0]},
        )
    return NextStep(
        tool="draw_items_to_label", reason="draw more items", arguments={"eval": [*names]}
    )
