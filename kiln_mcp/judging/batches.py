"""Draw a batch of items to be labelled."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.datasets.rating_criteria import VALUES
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.answers import ItemToLabel, LabellingBatch
from kiln_mcp.judging.warnings import ledger_warnings
from kiln_mcp.labels.draws import draw_strata
from kiln_mcp.labels.golden_set import GoldenSet, read_golden_runs, strata_by_verdict
from kiln_mcp.labels.ledger import Draw, append_draw
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore
from storage.errors import NextStep
from storage.text.excerpts import excerpt

LONGEST_TEXT: Final = 4000
"""The most characters of an item's input or output that a batch shows."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """How many items to draw, and the seed that repeats the draw."""

    count: int
    seed: int


async def draw_batch(
    workspace: Workspace,
    store: ProjectStore,
    golden_set: GoldenSet,
    judge: Measurement | None,
    request: BatchRequest,
) -> LabellingBatch:
    """Draw items without a label, record the draw, and return them without their verdicts."""
    labelled_items, score = golden_set.complete, golden_set.scores[0]
    by_item = await judge.stored_scores(score.json_key) if judge else {}
    strata = strata_by_verdict(golden_set.runs, by_item, score)
    draw = Draw(
        id=workspace.id_for("draw"),
        seed=request.seed,
        purpose="certificate",
        evaluator=judge.evaluator_record.id if judge else None,
        strata=draw_strata(strata, labelled_items, request.count, request.seed),
    )
    earlier = next((earlier for earlier in golden_set.draws if earlier.id == draw.id), None)
    if earlier is None:
        async with store.transaction(is_patient=True) as change:
            append_draw(change, golden_set.task_eval.eval_record, draw)
    draw = earlier or draw  # an earlier attempt at this job has drawn
    ids = {item for stratum in draw.strata.values() for item in stratum.drawn}
    # In the order of ids, which are random: neither verdict nor session shows.
    runs = await read_golden_runs(store, golden_set, ids)
    items = sorted(runs.values(), key=lambda run: run.id)
    return LabellingBatch(
        eval=golden_set.task_eval.name,
        scores=[
            f"{score.json_key}: {', '.join(VALUES[score.type])}" for score in golden_set.scores
        ],
        items=[
            ItemToLabel(
                item=run.id,
                input=excerpt(run.input, LONGEST_TEXT),
                output=excerpt(run.output.output, LONGEST_TEXT),
            )
            for run in items
        ],
        unlabelled_items=len(golden_set.runs) - len(labelled_items),
        purpose=draw.purpose,
        seed=request.seed,
        warnings=ledger_warnings(golden_set),
        next=[
            NextStep(
                tool="label_items",
                reason="save the person's labels, several at once",
                arguments={"eval": golden_set.task_eval.name},
            )
        ],
    )
