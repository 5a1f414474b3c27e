"""Open an audit: freeze the judge, the pool and its strata."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kiln_mcp.evals.fingerprints import judge_fingerprint, pool_hash
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.judging.certificates.audit_receipts import keep_receipts, missing_lines
from kiln_mcp.judging.certificates.lost_draws import lost_draws
from kiln_mcp.judging.certificates.strata import panel_strata
from kiln_mcp.labels.audit_lines import (
    LOST_DRAWS,
    AuditOpening,
    AuditRecord,
    append_audit_lines,
    read_audits,
)
from kiln_mcp.labels.golden_set import GoldenSet, read_outputs
from kiln_mcp.labels.ledger import read_draws, read_labels
from kiln_mcp.statistics import scale_of
from storage import EvalOutputScore, ProjectStore
from storage.errors import NextStep, Refusal
from storage.index.results import RatedItem


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What an audit is opened with.

    Attributes:
        id: Its id, if it has to be opened.
        seed: Of its draws.
        target: The agreement to be certified; None if nobody has named one.
        rater: Whose labels count; empty for every rater's.
    """

    id: str
    seed: int = 0
    target: float | None = None
    rater: str = ""


async def audits_of(judge: Measurement) -> list[AuditRecord]:
    """Return the audits of a judge, the oldest first; one whose draws are not all there ended."""
    missing = await missing_lines(judge)
    # Labels first and audits last: what is written meanwhile names nothing that seems lost.
    labels = (await read_labels(judge.store, judge.eval_record)).entries
    ledger = (await read_draws(judge.store, judge.eval_record)).entries
    audits = await read_audits(judge.store, judge.evaluator_record)
    certificate_draws = [draw for draw in ledger if draw.purpose == "certificate"]
    own = [draw for draw in certificate_draws if draw.evaluator == judge.evaluator_record.id]
    ids = {draw.id for draw in ledger}
    labels_without_draw = [
        label for label in labels if label.purpose == "certificate" and label.draw not in ids
    ]
    return [
        replace(audit, closing=LOST_DRAWS)
        if audit.closing is None
        and (audit.opening.id in missing or lost_draws(audit, audits, own, labels_without_draw))
        else audit
        for audit in audits
    ]


async def lost_audits(judge: Measurement) -> int:
    """Return how many audits of a judge are gone whole.

    The eval's ledger names draws of them, or this machine wrote them.
    """
    missing = await missing_lines(judge)
    ledger = (await read_draws(judge.store, judge.eval_record)).entries
    audits = await read_audits(judge.store, judge.evaluator_record)
    present = {audit.opening.id for audit in audits}
    own_draws = {draw.draw for audit in audits for draw in audit.draws}
    first = min((audit.opening.at for audit in audits), default=None)
    has_older_draw = any(
        draw.purpose == "certificate"
        and draw.evaluator == judge.evaluator_record.id
        and draw.id not in own_draws
        and (first is None or draw.at < first)
        for draw in ledger
    )
    return max(sum(audit not in present for audit in missing), int(has_older_draw))


async def current_audit(judge: Measurement) -> AuditRecord | None:
    """Return the newest audit of a judge as it is now; None if it is stale, or never opened."""
    fingerprint = await judge_fingerprint(judge)
    audits = await audits_of(judge)
    fitting = [
        audit
        for audit in audits
        if dict(audit.opening.fingerprint) == fingerprint and audit.closing is None
    ]
    return fitting[-1] if fitting else None


async def open_audit(
    golden_set: GoldenSet, judge: Measurement, request: AuditRequest
) -> AuditRecord:
    """Return the current audit of a judge; open one if there is none.

    The strata are made by the verdicts of the eval's first score; its draws serve all scores. The
    pool is every golden item that the judge has a verdict on, without those whose label was
    known before this version of the judge was fixed.

    Raises:
        Refusal: No item is left for the pool.
    """
    current = await current_audit(judge)
    if current is not None:
        return current
    store, record, score = judge.store, judge.evaluator_record, golden_set.scores[0]
    verdicts = await judge.stored_scores(score.json_key)
    fixed_at = await _fixed_at(judge)
    pool = {
        run.id: verdicts[run.id]
        for run in golden_set.runs
        if run.id in verdicts and _is_fresh(golden_set, run, score, fixed_at)
    }
    if not pool:
        raise _nothing_fresh(golden_set)
    panel = await _panel(store, golden_set, judge, score)
    opening = AuditOpening(
        id=request.id,
        score=score.json_key,
        fingerprint=await judge_fingerprint(judge),
        pool=await hash_of_pool(store, golden_set, pool),
        strata=panel_strata(pool, [*panel.values()], scale_of(score.type)),
        panel=tuple(panel),
        seed=request.seed,
        target=request.target,
        rater=request.rater,
    )
    async with store.transaction(is_patient=True) as change:
        append_audit_lines(change, record, [opening])
    await keep_receipts(judge, [opening])
    return AuditRecord(opening, ())


async def hash_of_pool(
    store: ProjectStore, golden_set: GoldenSet, verdicts: Mapping[str, float]
) -> str:
    """Return the hash of items of a golden set with their texts and verdicts."""
    runs = [run for run in golden_set.runs if run.id in verdicts]
    return pool_hash(verdicts, await read_outputs(store, runs))


async def _fixed_at(judge: Measurement) -> datetime:
    """Return when a judge became what it is: when it was made, or now if an audit ended."""
    evaluator = judge.evaluator_record
    has_changed = bool(await read_audits(judge.store, evaluator) or await lost_audits(judge))
    return datetime.now(UTC) if has_changed else evaluator.created_at.astimezone(UTC)


def _is_fresh(
    golden_set: GoldenSet, run: RatedItem, score: EvalOutputScore, fixed_at: datetime
) -> bool:
    """Return whether nobody could fit the judge to an item's label."""
    certificate = golden_set.certificate_label(run, score)
    if certificate is not None:
        return certificate.at >= fixed_at
    last = golden_set.last_label(run, score)
    if last is None:
        return golden_set.label(run, score) is None
    drawn = {draw.id for draw in golden_set.draws if draw.purpose == "certificate"}
    return last.draw in drawn and last.at >= fixed_at


async def _panel(
    store: ProjectStore, golden_set: GoldenSet, judge: Measurement, score: EvalOutputScore
) -> Mapping[str, Mapping[str, float]]:
    """Return the stored verdicts of the panel by the member's name in the audit."""
    matrix = await read_verdict_matrix(store, golden_set.task_eval.eval_record)
    return {
        f"{member.evaluator_id}#{member.verdict}" if member.verdict else member.evaluator_id: column
        for member in matrix.panel(judge.evaluator_record.id)
        if (column := matrix.column(member, score.json_key))
    }


def _nothing_fresh(golden_set: GoldenSet) -> Refusal:
    return Refusal(
        "No audit of '{name}' can begin: every golden item with a verdict had its label before "
        "this version of the judge. Add outputs to the golden set, then call this again.",
        name=golden_set.task_eval.name,
        next=[NextStep(tool="mark_runs", reason="give outputs the golden tag")],
    )
