"""Draw the next items of an audit."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.certificates.audit_labels import LabelledAudit, match_labels
from kiln_mcp.judging.certificates.audit_receipts import keep_receipts
from kiln_mcp.judging.certificates.audit_start import AuditRequest, current_audit, open_audit
from kiln_mcp.labels.audit_lines import AuditDraw, AuditRecord, append_audit_lines
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.ledger import Draw, DrawnStratum, append_draw
from kiln_mcp.statistics import draw_probabilities
from storage.errors import NextStep, Refusal


@dataclass(frozen=True, slots=True)
class CertificateDraw:
    """What is drawn for a certificate.

    Attributes:
        id: The id of the draw; a draw of this id is made once.
        count: How many items without a label are wanted.
        seed: Repeats the draw over the same audit.
        rater: Whose labels count; empty for every rater's.
        target: The agreement to be certified; None if nobody has named one.
        exclusions: Items that wait for a label on the rater's screen already.
    """

    id: str
    count: int
    seed: int = 0
    rater: str = ""
    target: float | None = None
    exclusions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ItemsForCertificate:
    """The next items of an audit.

    Attributes:
        items: Those to be labelled: first those that wait, then those drawn now.
        draw: What the eval's ledger holds of the draw; None if nothing was drawn.
    """

    items: tuple[str, ...]
    draw: Draw | None


async def draw_for_certificate(
    golden_set: GoldenSet, judge: Measurement, request: CertificateDraw
) -> ItemsForCertificate:
    """Draw the next items to be labelled for a judge's certificate.

    Items that still wait for a label come first. A drawn item that has a label counts at once, and
    another is drawn. The audit opens with the first draw.

    Raises:
        Refusal: No audit can be opened.
    """
    score = golden_set.scores[0]
    opening_request = AuditRequest(
        f"audit-{request.id}", request.seed, request.target, request.rater
    )
    record = await open_audit(golden_set, judge, opening_request)
    earlier = tuple(draw.item for draw in record.draws if draw.draw == request.id)
    if earlier:
        return ItemsForCertificate(earlier, None)
    verdicts = await judge.stored_scores(score.json_key)
    audit = match_labels(record, score, verdicts, golden_set.labels)
    all_waiting = [item.draw.item for item in audit.waiting]
    waiting = [item for item in all_waiting if item not in request.exclusions][: request.count]
    draws = _draw(golden_set, audit, request, request.count - len(waiting))
    if not draws:
        return ItemsForCertificate(tuple(waiting), None)
    ledger_draw = _ledger_draw(judge.evaluator_record.id, record, request, draws)
    async with judge.store.transaction(is_patient=True) as change:
        append_audit_lines(change, judge.evaluator_record, draws)
        append_draw(change, golden_set.task_eval.eval_record, ledger_draw)
    await keep_receipts(judge, draws)
    labelled_items = _labelled_items(golden_set, record)
    fresh = [draw.item for draw in draws if draw.item not in labelled_items]
    return ItemsForCertificate((*waiting, *fresh), ledger_draw)


async def check_rater(judge: Measurement, rater: str) -> None:
    """Check that a judge's audit counts the labels of the rater who is to draw.

    Raises:
        Refusal: It is about another rater, for whom the draws would wait.
    """
    record = await current_audit(judge)
    if record is None or not rater or record.opening.counts_rater(rater):
        return
    raise Refusal(
        "The audit of '{judge}' counts the labels of {owner} alone, so {rater} cannot draw in it. "
        "Let {owner} label these items, or draw with the purpose 'development'.",
        judge=judge.evaluator_record.name,
        owner=record.opening.rater,
        rater=rater,
        next=[
            NextStep(
                tool="draw_items_to_label",
                reason="draw items whose labels need no audit",
                arguments={"eval": judge.task_eval.name, "purpose": "development", "rater": rater},
            )
        ],
    )


def _labelled_items(golden_set: GoldenSet, record: AuditRecord) -> frozenset[str]:
    """Return the items with a label that counts for an audit as soon as they are drawn."""
    opening = record.opening
    return frozenset(
        label.item
        for label in golden_set.labels
        if label.certifies and label.score == opening.score and opening.counts_rater(label.rater)
    )


def _draw(
    golden_set: GoldenSet, audit: LabelledAudit, request: CertificateDraw, count: int
) -> list[AuditDraw]:
    """Draw until so many items without a label are drawn, or no item is left."""
    left, labels, agreements = audit.counts()
    drawn = {item.draw.item for item in audit.drawn}
    items = [[i for i in s.items if i not in drawn] for s in audit.opening.strata]
    labelled_items = _labelled_items(golden_set, audit.record)
    draw = random.Random(f"{audit.opening.seed} {request.seed} {len(drawn)}")
    draws: list[AuditDraw] = []
    while count > 0 and any(left):
        chances = draw_probabilities(audit.design, left, labels, agreements)
        (place,) = draw.choices(range(len(left)), weights=chances)
        item = items[place].pop(draw.randrange(len(items[place])))
        draws.append(
            AuditDraw(
                audit=audit.opening.id,
                draw=request.id,
                item=item,
                stratum=place,
                probabilities=chances,
                left=tuple(left),
            )
        )
        left[place] -= 1
        count -= item not in labelled_items
    return draws


def _ledger_draw(
    evaluator: str, record: AuditRecord, request: CertificateDraw, draws: Sequence[AuditDraw]
) -> Draw:
    """Return the draw as the eval's ledger holds it, so that labels can name it."""
    first = draws[0].left
    drawn = {
        stratum.name: DrawnStratum(
            size=len(stratum.items),
            open=first[place],
            drawn=tuple(draw.item for draw in draws if draw.stratum == place),
        )
        for place, stratum in enumerate(record.opening.strata)
    }
    return Draw(
        id=request.id,
        seed=request.seed,
        purpose="certificate",
        evaluator=evaluator,
        strata=drawn,
        rater=request.rater,
    )
