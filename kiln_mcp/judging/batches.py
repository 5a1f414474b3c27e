"""Draw a batch of items to be labelled."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.lookups import load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.answers import ItemToLabel, LabellingBatch
from kiln_mcp.judging.certificates.audit_draws import (
    CertificateDraw,
    check_rater,
    draw_for_certificate,
)
from kiln_mcp.judging.draw_refusals import nothing_to_draw
from kiln_mcp.judging.golden_sets import audit_golden_set, open_labelling_pass
from kiln_mcp.judging.pool import (
    MOST_ADDED,
    PoolRequest,
    extend_golden_sets,
    outputs_to_add,
    share_items,
)
from kiln_mcp.judging.warnings import pass_warnings
from kiln_mcp.labels.draws import draw_strata
from kiln_mcp.labels.entries import valid_words
from kiln_mcp.labels.golden_set import (
    GoldenSet,
    read_outputs,
    strata_by_verdict,
)
from kiln_mcp.labels.label_audit import LabelAudit
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Draw, DrawnStratum, Purpose, append_draw
from kiln_mcp.labels.purposes import due_repeats, rater_of, repeat_stratum, second_look_stratum
from kiln_mcp.labels.reviews import read_information, review_strata
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore
from storage.errors import NextStep
from storage.index.results import RecordRow
from storage.records.record import login_name
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 4000
"""The most characters of an item's input or output that a batch shows."""


NEW_ITEMS: Final[frozenset[Purpose]] = frozenset({"development", "certificate", "review"})
"""The purposes for which items without a label are drawn."""


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
        exclusions: Items that are not drawn.
    """

    evals: Sequence[str]
    count: int
    seed: int = 0
    purpose: Purpose = "development"
    rater: str = ""
    outputs: str | None = None
    evaluator: str | None = None
    exclusions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DrawnItems:
    """Items that were drawn, with the golden sets that hold them now.

    Attributes:
        labelling: The golden sets after the draw.
        items: Their ids, in an order that shows neither verdict nor session.
        new_items: Outputs that the draw added to golden sets.
        unlabelled_items: Items without a label, these included.
        notes: What the rater should know, as sentences.
    """

    labelling: LabellingPass
    items: Sequence[str]
    new_items: int
    unlabelled_items: int
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Plan:
    """The draws of one request, before they are written."""

    draws: list[Draw] = field(default_factory=list[Draw])
    items: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    audit_draw: str = ""
    is_ordered: bool = False

    def add(self, draw: Draw) -> None:
        """Add a draw with its items."""
        self.draws.append(draw)
        self.items += draw.items


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
        scores={score.name: valid_words(score.score) for score in labelling.scores},
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
        new_items=drawn.new_items,
        purpose=request.purpose,
        seed=request.seed,
        rater=request.rater or login_name(),
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
        return _items_of(labelling, [item for draw in earlier for item in draw.items], 0, [])
    if request.purpose == "certificate":
        judge = await judge_of(store, labelling, request.evaluator)
        if judge is not None:
            await check_rater(judge, request.rater)
    new_items = 0
    if (pool := pool_request(labelling, request)) is not None:
        new_items = await extend_golden_sets(store, labelling, pool)
        if new_items:
            labelling = await open_labelling_pass(store, request.evals)
    plan = await _plan(store, labelling, request, draw_id)
    if not plan.items:
        raise nothing_to_draw(labelling, request.purpose)
    if await share_items(store, labelling, plan.items):
        labelling = await open_labelling_pass(store, request.evals)
    if new_items:
        plan.notes.insert(0, f"{new_items} outputs were added to the golden set.")
    drawn = _items_of(labelling, plan.items, new_items, plan.notes)
    if plan.is_ordered:
        # An audit counts labels in the order of its draws, which is random already.
        drawn = replace(drawn, items=_mix_repeats(plan, request.seed))
    return replace(drawn, labelling=await _record(store, labelling, plan))


def _items_of(
    labelling: LabellingPass, items: Iterable[str], new_items: int, notes: Sequence[str]
) -> DrawnItems:
    # In the order of ids, which are random: neither verdict nor session shows.
    own = sorted({item for item in items if item in labelling.runs})
    return DrawnItems(
        labelling, own, new_items, len(labelling.runs) - len(labelling.complete), notes
    )


def _mix_repeats(plan: _Plan, seed: int) -> list[str]:
    """Return an audit's items in their order, with blind repeats at random places."""
    repeats = {item for d in plan.draws if d.purpose == "repeat" for item in d.items}
    items = [item for item in dict.fromkeys(plan.items) if item not in repeats]
    draw = random.Random(seed)
    for item in sorted(repeats):
        items.insert(draw.randint(0, len(items)), item)
    return items


def pool_request(labelling: LabellingPass, request: BatchRequest) -> PoolRequest | None:
    """Return which outputs a draw adds to the golden sets first; None for none.

    It adds some if the request names them, or if no item is left to label.
    """
    is_new = request.purpose in NEW_ITEMS
    has_open_items = len(labelling.complete) < len(labelling.runs)
    if not is_new or (request.outputs is None and has_open_items):
        return None
    limit = MOST_ADDED if request.purpose == "certificate" else request.count
    return PoolRequest(request.outputs, limit, request.seed)


async def _plan(
    store: ProjectStore, labelling: LabellingPass, request: BatchRequest, draw_id: str
) -> _Plan:
    """Choose the items; an audit writes its own draw to the first eval's ledger."""
    rater, plan = rater_of(labelling, request.rater), _Plan()
    if request.purpose in {"second_look", "repeat"}:
        strata = (
            second_look_stratum(labelling, await _audits(store, labelling), request.count)
            if request.purpose == "second_look"
            else repeat_stratum(labelling, rater, request.count, request.seed)
        )
        plan.add(_draw(draw_id, request, request.purpose, strata, None))
        return plan
    repeats = due_repeats(labelling, rater, request.count) if rater else 0
    request = replace(request, count=request.count - repeats)
    if request.purpose == "review":
        information = await read_information(store, labelling)
        exclusions = _exclusions(labelling, request)
        strata = review_strata(information, request.count, request.seed, exclusions)
        plan.add(_draw(draw_id, request, request.purpose, strata, None))
    else:
        await _draw_by_verdict(store, labelling, request, draw_id, plan)
    if repeats:
        repeat_strata = repeat_stratum(labelling, rater, repeats, request.seed)
        plan.add(_draw(f"{draw_id}r", request, "repeat", repeat_strata, None))
    return plan


async def _draw_by_verdict(
    store: ProjectStore,
    labelling: LabellingPass,
    request: BatchRequest,
    draw_id: str,
    plan: _Plan,
) -> None:
    """Draw items within the verdicts of a judge, or let its audit draw."""
    judge = await judge_of(store, labelling, request.evaluator)
    by_item = await _verdicts(judge, labelling, plan)
    if judge is not None and by_item and request.purpose == "certificate":
        await _draw_for_certificate(labelling, judge, request, draw_id, plan)
    else:
        strata = _new_items(labelling, by_item, request)
        evaluator = judge.evaluator_record.id if judge else None
        plan.add(_draw(draw_id, request, request.purpose, strata, evaluator))


async def _audits(store: ProjectStore, labelling: LabellingPass) -> list[LabelAudit]:
    audits = [await audit_golden_set(store, golden_set) for golden_set in labelling.golden_sets]
    return [audit for by_score in audits for audit in by_score.values()]


async def _verdicts(
    judge: Measurement | None, labelling: LabellingPass, plan: _Plan
) -> Mapping[str, float]:
    """Return the stored verdicts of the judge, and note how many items lack one."""
    if judge is None:
        return {}
    by_item = await judge.stored_scores(labelling.first.scores[0].json_key)
    missing = len(labelling.runs.keys() - by_item.keys())
    if missing:
        plan.notes.append(
            f"{missing} of {len(labelling.runs)} items have no verdict of "
            f"{judge.evaluator_record.name!r}: items are drawn without it."
        )
    return by_item


async def _draw_for_certificate(
    labelling: LabellingPass,
    judge: Measurement,
    request: BatchRequest,
    draw_id: str,
    plan: _Plan,
) -> None:
    """Let the judge's audit draw; it shows again what waits for a label."""
    reserved_items = labelling.reserved_items(request.rater, datetime.now(UTC))
    draw = CertificateDraw(
        draw_id,
        request.count,
        request.seed,
        request.rater,
        exclusions=request.exclusions | reserved_items,
    )
    drawn = await draw_for_certificate(labelling.first, judge, draw)
    plan.items += drawn.items
    plan.is_ordered = True
    if drawn.draw is not None:
        plan.draws.append(drawn.draw)
        plan.audit_draw = drawn.draw.id


def _new_items(
    labelling: LabellingPass, by_item: Mapping[str, float], request: BatchRequest
) -> dict[str, DrawnStratum]:
    """Draw items without a label within the verdicts of a judge."""
    strata = strata_by_verdict(list(labelling.runs.values()), by_item, labelling.first.scores[0])
    return draw_strata(strata, _exclusions(labelling, request), request.count, request.seed)


def _exclusions(labelling: LabellingPass, request: BatchRequest) -> frozenset[str]:
    """Return the items that are not drawn: labelled ones, and those of another rater."""
    reserved_items = labelling.reserved_items(request.rater, datetime.now(UTC))
    return labelling.complete | reserved_items | request.exclusions


async def judge_of(
    store: ProjectStore, labelling: LabellingPass, evaluator: str | None
) -> Measurement | None:
    """Return the judge of the first eval to stratify by; None if it has none."""
    try:
        return await load_measurement(store, labelling.first.task_eval, evaluator)
    except NothingToEvaluate:
        return None


async def rows_to_judge(
    store: ProjectStore, labelling: LabellingPass, request: BatchRequest
) -> list[RecordRow]:
    """Return the items of the first eval, with those that the draw will add."""
    rows = [RecordRow(run.id, run.path) for run in labelling.first.runs]
    pool = pool_request(labelling, request)
    return rows if pool is None else [*rows, *await outputs_to_add(store, labelling, pool)]


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


async def _record(store: ProjectStore, labelling: LabellingPass, plan: _Plan) -> LabellingPass:
    """Write draws beside each eval that has some of their items; return the evals with them."""
    golden_sets: list[GoldenSet] = []
    async with store.transaction(is_patient=True) as change:
        for golden_set in labelling.golden_sets:
            own = [draw for draw in plan.draws if golden_set.ids.intersection(draw.items)]
            for draw in own:
                if draw.id != plan.audit_draw or golden_set is not labelling.first:
                    append_draw(change, golden_set.task_eval.eval_record, draw)
            earlier_draws = {draw.id for draw in golden_set.draws}
            new = [draw for draw in own if draw.id not in earlier_draws]
            golden_sets.append(replace(golden_set, draws=[*golden_set.draws, *new]))
    return LabellingPass(golden_sets)
