"""Report disagreements of judges and people with the texts that explain them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.evals.measurement import Measurement, plan_agreement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.judging.answers import DisagreementCount, DisagreementReport, ShownDisagreement
from kiln_mcp.judging.disagreements import (
    Disagreement,
    ScoreDisagreements,
    find_disagreements,
)
from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.judging.panel import PanelPlan, carry_out_panels
from kiln_mcp.judging.verdict_reasons import read_verdict_texts, reason_in
from kiln_mcp.judging.warnings import failure_warnings, ledger_warnings
from kiln_mcp.labels.golden_set import GoldenSet, read_outputs
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.proposal import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, TaskRun
from storage.errors import NextStep, Refusal
from storage.index.results import RecordRow
from storage.text.excerpts import excerpt

MOST_ROWS: Final = 100
LONGEST_TEXT: Final = 600


async def propose_disagreements(
    workspace: Workspace,
    golden_set: GoldenSet,
    judges: Sequence[Measurement],
    panels: Sequence[PanelPlan],
) -> Proposal[DisagreementReport]:
    """Return the proposal of listing disagreements: missing verdicts are asked for first.

    Raises:
        Refusal: No label is for development.
    """
    name, store = golden_set.task_eval.name, judges[0].store
    items = {item for score in golden_set.scores for item in golden_set.development_labels(score)}
    if not items:
        raise no_development_label(name)
    rows = [RecordRow(run.id, run.path) for run in golden_set.runs if run.id in items]
    work = [await plan_agreement(judge, rows) for judge in judges]
    calls = sum((Counter(part.calls_by_model) for part in [*work, *panels]), Counter[str]())
    await workspace.check_ready(store, calls)
    summary = f"Judge {len(rows)} outputs of {name!r} that have development labels."
    plan = await estimate_cost(workspace.engine, summary, calls, "evals")

    async def judge_and_list() -> DisagreementReport:
        outcomes = [await carry_out(workspace, part) for part in work]
        outcomes += await carry_out_panels(workspace, panels)
        return await disagreement_report(golden_set, judges, outcomes)

    return Proposal(plan, judge_and_list)


def no_development_label(name: str) -> Refusal:
    """Return the refusal of what learns from development labels, for an eval without any."""
    return Refusal(
        "No item of '{name}' has a label for development, and labels for a certificate stay "
        "hidden. Have the person label some outputs for development.",
        name=name,
        next=[
            NextStep(
                tool="draw_items_to_label",
                reason="draw outputs for the person to label, with purpose development",
                arguments={"eval": name},
            )
        ],
    )


async def disagreement_report(
    golden_set: GoldenSet, judges: Sequence[Measurement], outcomes: Sequence[RunOutcome]
) -> DisagreementReport:
    """Return all disagreements with development labels, the worst first."""
    store = judges[0].store
    matrix = await read_verdict_matrix(store, golden_set.task_eval.eval_record)
    audits = await audit_golden_set(store, golden_set, "development")
    faults = [fault for audit in audits.values() for fault in audit.faults]
    groups = find_disagreements(golden_set, judges, matrix, audits)
    entries = sorted(
        (entry for group in groups for entry in group.disagreements), key=lambda e: e.rank
    )
    page = entries[:MOST_ROWS]
    reasons = await _read_reasons(store, page)
    runs = await read_outputs(store, {e.item: golden_set.item(e.item) for e in page}.values())
    several = len(judges) > 1, len(golden_set.scores) > 1
    rows = [
        _row(entry, runs.get(entry.item), reasons.get(_key(entry), ""), several) for entry in page
    ]
    doubtful = sum(entry.doubt is not None for entry in entries)
    return DisagreementReport(
        eval=golden_set.task_eval.name,
        summary=_summary(groups, doubtful),
        counts=[_count(group) for group in groups],
        disagreements=rows,
        total=len(entries),
        hidden_items=count_hidden_items(golden_set),
        new_verdicts=sum(outcome.new_verdicts for outcome in outcomes),
        warnings=[
            *faults,
            *ledger_warnings(golden_set),
            *failure_warnings(outcomes),
        ],
        next=_next_steps(golden_set.task_eval.name, groups, doubtful, can_learn=not faults),
    )


def count_hidden_items(golden_set: GoldenSet) -> int:
    """Return how many items have a label for a certificate, which stays hidden."""
    return sum(
        any(golden_set.is_hidden(run, score) for score in golden_set.scores)
        for run in golden_set.runs
    )


def _key(entry: Disagreement) -> tuple[str, str, str]:
    return entry.judge.evaluator_record.id, entry.item, entry.score.json_key


async def _read_reasons(
    store: ProjectStore, entries: Sequence[Disagreement]
) -> Mapping[tuple[str, str, str], str]:
    """Return the judges' reasons by evaluator, item and score key."""
    reasons: dict[tuple[str, str, str], str] = {}
    records = {e.judge.evaluator_record.id: e.judge.evaluator_record for e in entries}
    for record in records.values():
        own = [entry for entry in entries if entry.judge.evaluator_record.id == record.id]
        texts = await read_verdict_texts(store, record, [entry.item for entry in own])
        for entry in own:
            key = entry.score.json_key
            reasons[_key(entry)] = reason_in(texts.get(entry.item, {}), key)
    return reasons


def _row(
    entry: Disagreement, run: TaskRun | None, reason: str, several: tuple[bool, bool]
) -> ShownDisagreement:
    kind = entry.score.type
    members = len(entry.panel)
    return ShownDisagreement(
        item=entry.item,
        evaluator=entry.judge.evaluator_record.name if several[0] else None,
        score=entry.score.json_key if several[1] else None,
        verdict=label_text(entry.verdict, kind),
        label=label_text(entry.value, kind),
        input=excerpt(run.input, LONGEST_TEXT) if run else "",
        output=excerpt(run.output.output, LONGEST_TEXT) if run else "",
        judge_reason=excerpt(reason, LONGEST_TEXT) or None,
        label_reason=excerpt(entry.label.reason, LONGEST_TEXT) or None,
        rater=entry.label.event.rater if entry.label.event else None,
        wants_reason=_wants_reason(entry),
        panel=f"{entry.supporters} of {members} agree with the label" if members > 1 else None,
        label_doubt=entry.doubt.why if entry.doubt else None,
    )


def _wants_reason(entry: Disagreement) -> bool:
    event = entry.label.event
    return event is not None and event.purpose == "review" and not event.reason


def _count(group: ScoreDisagreements) -> DisagreementCount:
    return DisagreementCount(
        evaluator=group.judge.evaluator_record.name,
        score=group.score.json_key,
        labels=group.labels,
        disagreements=len(group.disagreements),
        too_strict=group.count(is_too_strict=True),
        too_lenient=group.count(is_too_strict=False),
        without_verdict=group.without_verdict,
    )


def _summary(groups: Sequence[ScoreDisagreements], doubtful: int) -> str:
    labels = sum(group.labels for group in groups)
    total = sum(len(group.disagreements) for group in groups)
    if not labels:
        return "No development label has a verdict of these judges yet."
    strict = sum(group.count(is_too_strict=True) for group in groups)
    sentence = f"{total} of {labels} verdicts differ from development labels"
    if not total:
        return f"{sentence}."
    parts = f"{strict} are too strict, {total - strict} too lenient"
    second_look = f" {doubtful} of the labels may be wrong: look at them again." if doubtful else ""
    return f"{sentence}: {parts}.{second_look}"


def _next_steps(
    name: str, groups: Sequence[ScoreDisagreements], doubtful: int, *, can_learn: bool
) -> list[NextStep]:
    """Return the calls that help; no judge is written from labels that measure none."""
    steps: list[NextStep] = []
    if doubtful:
        steps.append(second_look(name))
    worst = max(groups, key=lambda group: len(group.disagreements))
    if worst.disagreements and can_learn:
        steps.append(
            NextStep(
                tool="improve_judge",
                reason="rewrite the judge from these disagreements",
                arguments={"eval": name, "evaluator": worst.judge.evaluator_record.name},
            )
        )
    if not worst.disagreements:
        reason = "label drawn items: a certificate needs labels that no judge was written from"
        steps.append(
            NextStep(
                tool="draw_items_to_label",
                reason=reason,
                arguments={"eval": name, "purpose": "certificate"},
            )
        )
    return steps


def second_look(name: str) -> NextStep:
    """Return the call that shows a person the doubtful labels of an eval again."""
    return NextStep(
        tool="draw_items_to_label",
        reason="draw the doubtful labels for a second look",
        arguments={"eval": name, "purpose": "second_look"},
    )
