"""Draw a batch of items to be labelled."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.lookups import load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.answers import ItemToLabel, LabellingBatch
from kiln_mcp.judging.golden_sets import audit_golden_set, open_labelling_pass
from kiln_mcp.judging.warnings import pass_warnings
from kiln_mcp.labels.draws import draw_strata
from kiln_mcp.labels.entries import valid_words
from kiln_mcp.labels.golden_set import (
    WITHOUT_VERDICT,
    GoldenSet,
    read_outputs,
    strata_by_verdict,
)
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Draw, DrawnStratum, Purpose, append_draw
from kiln_mcp.labels.pool import MOST_ADDED, PoolRequest, extend_golden_sets, share_items
from kiln_mcp.labels.purposes import due_repeats, rater_of, repeat_stratum, second_look_stratum
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore
from storage.errors import NextStep, Refusal
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 4000
"""The most characters of an item's input or output that a batch shows."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Which items to draw.

    Attributes:
        evals: The evals that one reading serves, by name, id or handle.
        count: How many items.
        seed: Repeats the draw over the same golden sets.
        purpose: What the labels are for.
        rater: Who will label them; empty if nobody said.
        outputs: The filter of outputs that are added to the golden sets first.
        evaluator: The judge whose verdicts are the strata; None for the current one.
        excluded: Items that are not drawn.
    """

    evals: Sequence[str]
    count: int
    seed: int = 0
    purpose: Purpose = "development"
    rater: str = ""
    outputs: str | None = None
    evaluator: str | None = None
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DrawnItems:
    """Items that were drawn, with the golden sets that hold them now.

    Attributes:
        labelling: The golden sets after the draw.
        items: Their ids, in an order that shows neither verdict nor session.
        added: Outputs that the draw added to golden sets.
        unlabelled_items: Items without a label, these included.
        notes: What the rater should know, as sentences.
    """

    labelling: LabellingPass
    items: Sequence[str]
    added: int
    unlabelled_items: int
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Plan:
    """The draws of one request, before they are written."""

    draws: list[Draw] = field(default_factory=list[Draw])
    notes: list[str] = field(default_factory=list[str])


async def draw_batch(
    workspace: Workspace, store: ProjectStore, request: BatchRequest
) -> LabellingBatch:
    """Draw items, record the draw, and return them without their verdicts."""
    drawn = await draw_items(workspace, store, request)
    labelling = drawn.labelling
    records = await read_outputs(store, [labelling.runs[item] for item in drawn.items])
    names: list[str] = labelling.eval_names
    return LabellingBatch(
        eval=", ".join(names),
        scores=[f"{score.name}: {valid_words(score.score)}" for score in labelling.scores],
        items=[
            ItemToLabel(
                item=item,
                input=excerpt(records[item].input, LONGEST_TEXT),
                output=excerpt(records[item].output.output, LONGEST_TEXT),
            )
            for item in drawn.items
            if item in records
        ],
        unlabelled_items=drawn.unlabelled_items,
        added=drawn.added,
        purpose=request.purpose,
        seed=request.seed,
        warnings=[*drawn.notes, *pass_warnings(labelling)],
        next=[
            NextStep(
                tool="label_items",
                reason="save the person's labels, several at once",
                arguments={"eval": [*names]},
            )
        ],
    )


async def draw_items(
    workspace: Workspace, store: ProjectStore, request: BatchRequest
) -> DrawnItems:
    """Draw items and record the draw; no model is asked.

    Of several callers one draws at a time, so that two raters never get the same item.

    Raises:
        Refusal: There is nothing to draw.
    """
    async with workspace.turn(store, "draw of items to label"):
        return await _draw_alone(workspace, store, request)


async def _draw_alone(
    workspace: Workspace, store: ProjectStore, request: BatchRequest
) -> DrawnItems:
    labelling = await open_labelling_pass(store, request.evals, may_be_empty=True)
    draw_id = workspace.id_for("draw")
    earlier = [draw for draw in labelling.draws if draw.id.startswith(draw_id)]
    if earlier:  # an earlier attempt at this job has drawn
        return _drawn(labelling, earlier, 0, [])
    added = 0
    if request.purpose in {"development", "certificate"}:
        added = await _extend(store, labelling, request)
        if added:
            labelling = await open_labelling_pass(store, request.evals)
    plan = await _plan(store, labelling, request, draw_id)
    items = [item for draw in plan.draws for item in draw.items]
    if not items:
        raise nothing_to_draw(labelling, request.purpose)
    if await share_items(store, labelling, items):
        labelling = await open_labelling_pass(store, request.evals)
    labelling = await _record(store, labelling, plan.draws)
    if added:
        plan.notes.insert(0, f"{added} outputs were added to the golden set.")
    return _drawn(labelling, plan.draws, added, plan.notes)


def _drawn(
    labelling: LabellingPass, draws: Sequence[Draw], added: int, notes: Sequence[str]
) -> DrawnItems:
    # In the order of ids, which are random: neither verdict nor session shows.
    items = sorted({item for draw in draws for item in draw.items if item in labelling.runs})
    return DrawnItems(
        labelling, items, added, len(labelling.runs) - len(labelling.complete), notes
    )


async def _extend(store: ProjectStore, labelling: LabellingPass, request: BatchRequest) -> int:
    """Add outputs to the golden sets if the request asks for it, or if none is left to label."""
    has_open_items = len(labelling.complete) < len(labelling.runs)
    if request.outputs is None and has_open_items:
        return 0
    most = request.count if request.purpose == "development" else MOST_ADDED
    return await extend_golden_sets(
        store, labelling, PoolRequest(request.outputs, most, request.seed)
    )


async def _plan(
    store: ProjectStore, labelling: LabellingPass, request: BatchRequest, draw_id: str
) -> _Plan:
    rater, plan = rater_of(labelling, request.rater), _Plan()
    match request.purpose:
        case "second_look":
            audits = [
                audit
                for golden_set in labelling.golden_sets
                for audit in (await audit_golden_set(store, golden_set)).values()
            ]
            strata = second_look_stratum(labelling, audits, request.count)
            evaluator, repeats = None, 0
        case "repeat":
            strata = repeat_stratum(labelling, rater, request.count, request.seed)
            evaluator, repeats = None, 0
        case _:
            repeats = due_repeats(labelling, rater, request.count) if rater else 0
            strata, evaluator = await _new_items(store, labelling, request, repeats, plan)
    plan.draws.append(_draw(draw_id, request, request.purpose, strata, evaluator))
    if repeats:
        again = repeat_stratum(labelling, rater, repeats, request.seed)
        plan.draws.append(_draw(f"{draw_id}r", request, "repeat", again, None))
    return plan


async def _new_items(
    store: ProjectStore,
    labelling: LabellingPass,
    request: BatchRequest,
    repeats: int,
    plan: _Plan,
) -> tuple[dict[str, DrawnStratum], str | None]:
    """Draw items without a label within the stored verdicts of the first eval's judge."""
    judge = await judge_of(store, labelling, request.evaluator)
    score = labelling.first.scores[0]
    by_item = await judge.stored_scores(score.json_key) if judge else {}
    runs = list(labelling.runs.values())
    strata = strata_by_verdict(runs, by_item, score)
    if judge is not None and (missing := len(strata.get(WITHOUT_VERDICT, ()))):
        plan.notes.append(
            f"{missing} of {len(runs)} items have no verdict of {judge.evaluator_record.name!r}: "
            "they were drawn without one."
        )
    reserved = labelling.reserved_items(request.rater, datetime.now(UTC))
    taken = labelling.complete | reserved | request.excluded
    drawn = draw_strata(strata, taken, request.count - repeats, request.seed)
    return drawn, judge.evaluator_record.id if judge else None


async def judge_of(
    store: ProjectStore, labelling: LabellingPass, evaluator: str | None
) -> Measurement | None:
    """Return the judge of the first eval to stratify by; None if it has none."""
    try:
        return await load_measurement(store, labelling.first.task_eval, evaluator)
    except NothingToEvaluate:
        return None


def _draw(
    draw_id: str,
    request: BatchRequest,
    purpose: Purpose,
    strata: dict[str, DrawnStratum],
    evaluator: str | None,
) -> Draw:
    return Draw(
        id=draw_id,
        seed=request.seed,
        purpose=purpose,
        evaluator=evaluator,
        strata=strata,
        rater=request.rater,
    )


async def _record(
    store: ProjectStore, labelling: LabellingPass, draws: Sequence[Draw]
) -> LabellingPass:
    """Write draws beside each eval that has some of their items; return the evals with them."""
    golden_sets: list[GoldenSet] = []
    async with store.transaction(is_patient=True) as change:
        for golden_set in labelling.golden_sets:
            own = [draw for draw in draws if golden_set.ids.intersection(draw.items)]
            for draw in own:
                append_draw(change, golden_set.task_eval.eval_record, draw)
            golden_sets.append(replace(golden_set, draws=[*golden_set.draws, *own]))
    return LabellingPass(golden_sets)


def nothing_to_draw(labelling: LabellingPass, purpose: Purpose) -> Refusal:
    """Return the refusal of a draw for which there is no item."""
    names = " and ".join(labelling.eval_names)
    arguments = {"eval": labelling.eval_names[0]}
    measure = NextStep(
        tool="check_judge", reason="measure the judges against the labels", arguments=arguments
    )
    if purpose == "second_look":
        return Refusal(
            "No label of '{names}' is in doubt: no judge or check contradicts one clearly.",
            names=names,
            next=[measure],
        )
    if purpose == "repeat":
        return Refusal(
            "No item of '{names}' can be shown again yet: that needs more than ten labels of one "
            "rater. Name the rater if there are several.",
            names=names,
            next=[NextStep(tool="draw_items_to_label", reason="draw new items first")],
        )
    if not labelling.runs:
        return Refusal(
            "The golden set of '{names}' is empty, and the task has no output of a model to add. "
            "Add outputs, or name some of the task's with `outputs`, such as tag::prod or all.",
            names=names,
            next=[NextStep(tool="add_data", reason="add outputs of your feature")],
        )
    return Refusal(
        "All {count} items of the golden set of '{names}' have labels, or another rater is at "
        "them. Name further outputs of the task with `outputs`, such as tag::prod or all.",
        count=len(labelling.runs),
        names=names,
        next=[measure],
    )
