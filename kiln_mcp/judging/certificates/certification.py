"""Audit judges: open what is not open, replay the labels, and issue certificates."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.evals.fingerprints import changed_parts, judge_fingerprint
from kiln_mcp.evals.measurement import Measurement, VerdictPlan, plan_agreement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.judging.certificates.answers import CertificateReport, CertificateRow
from kiln_mcp.judging.certificates.audit_labels import LabelledAudit, match_labels
from kiln_mcp.judging.certificates.audit_receipts import keep_receipts
from kiln_mcp.judging.certificates.audit_start import (
    AuditRequest,
    audits_of,
    current_audit,
    hash_of_pool,
    lost_audits,
    open_audit,
)
from kiln_mcp.judging.certificates.audit_status import (
    AuditCircumstances,
    AuditStatus,
    CertificateState,
    audit_status,
)
from kiln_mcp.judging.certificates.certificate import (
    CertificateContext,
    HumanCeiling,
    make_certificate,
)
from kiln_mcp.judging.certificates.certificate_files import CertificateFiles, issue, read_earlier
from kiln_mcp.judging.certificates.measured_ambiguity import ambiguity_sentences
from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.labels.audit_lines import (
    AUDITS,
    AuditClosing,
    AuditRecord,
    append_audit_lines,
    read_audits,
)
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.statistics import LabelForecast
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalConfig, EvalOutputScore, ProjectStore
from storage.errors import NextStep, Refusal
from storage.index.results import RecordRow

_CHANGED_POOL = "an output or a verdict of the pool"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What is asked about certificates.

    Attributes:
        target: The agreement to be certified; None for as much as the labels show.
        is_issued: Whether signed certificates are written.
        seed: Of the estimates and the forecast.
        ceilings: The agreement of two people, by score.
    """

    target: float | None
    is_issued: bool
    seed: int
    ceilings: Mapping[str, HumanCeiling]


async def propose_certificates(
    workspace: Workspace,
    golden_set: GoldenSet,
    judges: Sequence[Measurement],
    request: CertificateRequest,
) -> Proposal[CertificateReport]:
    """Propose to audit judges: a pool is judged whole before its audit opens.

    Raises:
        Refusal: Only the labels of before could certify, and they contradict.
    """
    work = [
        await plan_agreement(judge, [RecordRow(run.id, run.path) for run in golden_set.runs])
        for judge in judges
        if not await read_audits(judge.store, judge.evaluator_record)
    ]
    if work:
        await _check_labels(golden_set, judges[0].store)
    calls = sum((Counter(plan.calls_by_model) for plan in work), Counter[str]())
    await workspace.check_ready(judges[0].store, calls)
    verdicts = sum(plan.verdicts for plan in work)
    summary = f"Judge {verdicts} items of the golden set, and freeze it for an audit."
    plan = await estimate_cost(workspace.engine, summary, calls, "evals")

    async def certify() -> CertificateReport:
        return await _certify(workspace, golden_set, judges, work, request)

    return Proposal(plan, certify)


async def _certify(
    workspace: Workspace,
    golden_set: GoldenSet,
    judges: Sequence[Measurement],
    work: Sequence[VerdictPlan],
    request: CertificateRequest,
) -> CertificateReport:
    outcomes: list[RunOutcome] = [await carry_out(workspace, plan) for plan in work]
    store = judges[0].store
    if work:
        await _check_labels(golden_set, store)
    faults = await _faults(golden_set, store, "certificate")
    rows: list[CertificateRow] = []
    problems: list[str] = []
    earlier = 0
    for judge in judges:
        home = workspace.settings.home
        certificates = await read_earlier(judge.store, judge.evaluator_record, home)
        earlier += len(certificates.signed_here)
        problems += _foreign_certificates(judge.evaluator_record.name, certificates.other_count)
        view = _JudgeAudit(workspace, golden_set, judge, request)
        record, changed = await view.find()
        problems += record.problems
        if losses := await lost_audits(judge):
            problems.append(
                f"{losses} audits of '{judge.evaluator_record.name}' are gone from {AUDITS}: no "
                "label of before counts for a certificate of it."
            )
        rows += [
            await view.row(record, score, changed, faults[score.json_key])
            for score in golden_set.scores
        ]
    return CertificateReport(
        eval=golden_set.task_eval.name,
        certificates=rows,
        ambiguity=await ambiguity_sentences(store, golden_set.task_eval),
        earlier=earlier,
        new_verdicts=sum(outcome.new_verdicts for outcome in outcomes),
        failed=sum(len(outcome.failures) for outcome in outcomes),
        warnings=list(dict.fromkeys(problems)),
        next=_next_steps(golden_set.task_eval.name, rows),
    )


async def _check_labels(golden_set: GoldenSet, store: ProjectStore) -> None:
    """Check that a judge could be audited by the labels, if no item is left to draw.

    Raises:
        Refusal: The labels of every score contradict.
    """
    if len(golden_set.complete) < len(golden_set.runs):
        return
    faults = await _faults(golden_set, store, "all")
    if all(faults.values()):
        raise _cannot_begin(golden_set.task_eval.name, faults)


async def _faults(
    golden_set: GoldenSet, store: ProjectStore, purpose: str
) -> dict[str, Sequence[str]]:
    """Return why the labels of a purpose can measure no judge, by score."""
    audits = await audit_golden_set(store, golden_set, purpose)
    return {key: audit.faults for key, audit in audits.items()}


def _foreign_certificates(judge: str, count: int) -> list[str]:
    """Return a sentence about certificates that this home did not write, if there are any."""
    if not count:
        return []
    return [
        f"{count} of the certificates of '{judge}' were changed, or written by another home: they "
        "do not count here."
    ]


def _cannot_begin(eval_name: str, faults: Mapping[str, Sequence[str]]) -> Refusal:
    """Return the refusal to audit a judge by labels that contradict."""
    sentences = dict.fromkeys(sentence for own in faults.values() for sentence in own)
    return Refusal(
        "The labels of '{name}' can certify no judge. {reason} Look again at the labels in doubt "
        "first.",
        name=eval_name,
        reason=" ".join(sentences),
        next=[
            NextStep(
                tool="draw_items_to_label",
                reason="show a person the labels in doubt again, blind",
                arguments={"eval": eval_name, "purpose": "second_look"},
            )
        ],
    )


@dataclass(frozen=True, slots=True)
class _JudgeAudit:
    """The audit of one judge."""

    workspace: Workspace
    golden_set: GoldenSet
    judge: Measurement
    request: CertificateRequest

    async def find(self) -> tuple[AuditRecord, Sequence[str]]:
        """Return the judge's audit, and what has changed since it opened.

        The first one is opened here; a stale one is only told of, and the next draw opens another.
        """
        audits = await audits_of(self.judge)
        if not audits:
            name = self.workspace.id_for(f"audit {self.judge.evaluator_record.id}")
            request = AuditRequest(name, self.request.seed, self.request.target)
            return await open_audit(self.golden_set, self.judge, request), ()
        current = await current_audit(self.judge)
        if current is None:
            last = audits[-1]
            new = await judge_fingerprint(self.judge)
            closing = [last.closing] if last.closing else []
            return last, [*changed_parts(last.opening.fingerprint, new), *closing]
        return current, await self._changed_pool(current)

    async def _changed_pool(self, record: AuditRecord) -> Sequence[str]:
        """Return whether outputs or verdicts have changed; the audit ends then."""
        verdicts = await self.judge.stored_scores(record.opening.score)
        pool = {
            item: verdicts[item]
            for stratum in record.opening.strata
            for item in stratum.items
            if item in verdicts
        }
        store = self.judge.store
        if await hash_of_pool(store, self.golden_set, pool) == record.opening.pool:
            return ()
        closing = AuditClosing(audit=record.opening.id, reason=_CHANGED_POOL)
        async with store.transaction() as change:
            append_audit_lines(change, self.judge.evaluator_record, [closing])
        await keep_receipts(self.judge, [closing])
        return (_CHANGED_POOL,)

    async def row(
        self,
        record: AuditRecord,
        score: EvalOutputScore,
        changed: Sequence[str],
        faults: Sequence[str],
    ) -> CertificateRow:
        """Return how the audit stands for one score; issue its certificate if that was asked."""
        verdicts = await self.judge.stored_scores(score.json_key)
        audit = match_labels(record, score, verdicts, self.golden_set.labels)
        circumstances = AuditCircumstances(
            judge=self.judge.evaluator_record.name,
            target=self.request.target,
            judges=await _judges_on_same_labels(self.golden_set, self.judge, audit),
            changed=changed,
            faults=faults,
            seed=self.request.seed,
        )
        status = await anyio.to_thread.run_sync(audit_status, audit, circumstances)
        files = await self._issue(audit, status, circumstances) if self.request.is_issued else None
        return _row(self.judge.evaluator_record.name, audit, status, files)

    async def _issue(
        self, audit: LabelledAudit, status: AuditStatus, circumstances: AuditCircumstances
    ) -> CertificateFiles:
        key = audit.score.json_key
        name = self.workspace.id_for(f"certificate {self.judge.evaluator_record.id} {key}")
        context = CertificateContext(
            name, self.judge, len(self.golden_set.runs), self.request.ceilings.get(key)
        )
        certificate = make_certificate(audit, status, circumstances, context)
        home = self.workspace.settings.home
        return await issue(self.judge.store, self.judge.evaluator_record, certificate, home)


async def _judges_on_same_labels(
    golden_set: GoldenSet, judge: Measurement, audit: LabelledAudit
) -> int:
    """Return how many judges' audits count some of the same labels, this one's included.

    An audit that ended counts too: to change a judge takes back none of its looks at the labels.
    """
    own = {item.draw.item for item in audit.labelled_items}
    count = 1
    for evaluator in await judge.store.children(golden_set.task_eval.eval_record, EvalConfig):
        if evaluator.id == judge.evaluator_record.id:
            continue
        audits = await read_audits(judge.store, evaluator)
        count += any(draw.item in own for audit in audits for draw in audit.draws)
    return count


def _row(
    name: str, audit: LabelledAudit, status: AuditStatus, files: CertificateFiles | None
) -> CertificateRow:
    forecast, limits = status.forecast, status.standing.limits
    more_labels = None
    if isinstance(forecast, LabelForecast) and forecast.smallest is not None:
        more_labels = (forecast.smallest, forecast.largest or forecast.smallest)
    return CertificateRow(
        evaluator=name,
        score=audit.score.json_key,
        state=status.state.value,
        sentence=status.sentence,
        claim=status.claim,
        low=round(limits.low, 4),
        high=round(limits.high, 4),
        labels=status.standing.labels,
        skips=status.standing.skips,
        outputs=audit.design.total,
        more_labels=more_labels,
        page=str(files.page) if files else None,
        document=str(files.document) if files else None,
    )


def _next_steps(eval_name: str, rows: Sequence[CertificateRow]) -> list[NextStep]:
    """Return the calls that lead on from the states."""
    states = {row.state for row in rows}
    arguments: dict[str, JsonValue] = {"eval": eval_name}
    steps: list[NextStep] = []
    if CertificateState.LABELS_CONTRADICT in states:
        steps.append(
            NextStep(
                tool="draw_items_to_label",
                reason="show a person the labels in doubt again, blind",
                arguments={**arguments, "purpose": "second_look"},
            )
        )
    elif states & {CertificateState.NOT_YET, CertificateState.STALE}:
        steps.append(
            NextStep(
                tool="draw_items_to_label",
                reason="draw the next items of the audit",
                arguments={**arguments, "purpose": "certificate"},
            )
        )
    if states & {CertificateState.NOT_REACHABLE, CertificateState.NO_INFORMATION}:
        reason = "create a sharper judge, or a check that asks no model"
        steps.append(NextStep(tool="create_evaluator", reason=reason, arguments=arguments))
    if CertificateState.CERTIFIED in states:
        reason = "measure run configs with the certified judge"
        steps.append(NextStep(tool="run_eval", reason=reason, arguments=arguments))
    document = next((row.document for row in rows if row.document), None)
    if document is not None:
        reason = "verify the signed file later, or print its page elsewhere"
        steps.append(
            NextStep(tool="verify_certificate", reason=reason, arguments={"file": document})
        )
    return steps
