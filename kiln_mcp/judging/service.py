"""Capabilities: choose items to label, save the labels, and measure judges against them."""

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evals.lookups import find_eval
from kiln_mcp.evals.measurement import plan_agreement
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evals.service import EvalReference, EvaluatorReference
from kiln_mcp.judging.agreement_checks import AgreementCheck, labelled_runs, propose_agreement
from kiln_mcp.judging.agreement_reports import ceilings_to_print
from kiln_mcp.judging.answers import (
    AgreementReport,
    DisagreementReport,
    LabellingBatch,
    SavedLabels,
)
from kiln_mcp.judging.batches import BatchRequest, draw_batch, judge_of, rows_to_judge
from kiln_mcp.judging.certificates.answers import CertificateReport
from kiln_mcp.judging.certificates.audit_draws import check_rater
from kiln_mcp.judging.certificates.certification import CertificateRequest, propose_certificates
from kiln_mcp.judging.current_judge import check_current
from kiln_mcp.judging.disagreement_reports import propose_disagreements
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.judging.judges import judges_to_certify, judges_to_compare, judges_to_read
from kiln_mcp.judging.label_storage import save_labels, save_unconfirmed_labels
from kiln_mcp.judging.panel import MOST_MEMBERS, plan_panels
from kiln_mcp.labels.entries import (
    MOST_LABELS,
    ItemLabel,
    check_rater_name,
    ledger_entries,
    plan_of_labels,
    with_confirmation,
    without_confirmation,
)
from kiln_mcp.labels.golden_set import open_golden_set, read_outputs
from kiln_mcp.labels.ledger import Purpose
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace

_JSON_BEGINS = ("[", '"')


def _as_list(value: object) -> object:
    """Take one name for a list of it; a list as JSON text is left to those who read such text."""
    is_json = isinstance(value, str) and value.lstrip().startswith(_JSON_BEGINS)
    return [value] if isinstance(value, str) and not is_json else value


EvalReferences = Annotated[
    list[str],
    Field(min_length=1, description="One reading serves several."),
    BeforeValidator(_as_list),
]


@capability(
    effect=Effect.SPENDS,
    title="Draw items to label",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.JUDGES,
        "annotate, annotation, review, look at, labelling, labeling, manual, manually, by hand, "
        "human, expert, reviewer, queue, sample, random, ten, outputs, cases, examples, batch, "
        "give me, golden set, blind, spare time, worth checking, check a few, show some, few "
        "examples, grade by hand, I'd like to grade, want to rate, go through, next one, more, "
        "another, spot check, quality control, double check, validate by people, assign to "
        "reviewers, needs labels, unlabelled, unlabeled, start labelling, label some data, domain "
        "expert, needs a human look, pick a sample, what to label, label today, reviewers",
    ),
)
async def draw_items_to_label(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReferences,
    count: Annotated[int, Field(ge=1, le=100)] = 10,
    purpose: Annotated[
        Purpose,
        Field(description="certificate: proves a judge. second_look: labels in doubt."),
    ] = "development",
    rater: str = "",
    outputs: Annotated[
        str | None,
        Field(description="Add these to the golden set: tag::prod, all."),
    ] = None,
    evaluator: EvaluatorReference = None,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Proposal[LabellingBatch]:
    """Pick the next items for a person to grade or label, at random within the judge's verdicts.

    Show the person input and output alone, and never label in their name. Then call label_items.
    """
    store = await workspace.open_project(project)
    check_rater_name(rater.strip())
    request = BatchRequest(eval, count, seed, purpose, rater.strip(), outputs, evaluator)
    draw = Proposal(Plan("Draw items to label."), partial(draw_batch, workspace, store, request))
    if purpose != "certificate":
        return draw
    labelling = await open_labelling_pass(store, eval, may_be_empty=True)
    judge = await judge_of(store, labelling, evaluator)
    if judge is None:
        return draw
    await check_rater(judge, request.rater)
    work = await plan_agreement(judge, await rows_to_judge(store, labelling, request))
    try:
        await workspace.check_ready(store, work.calls_by_model)
    except ModelError:
        return draw  # labelling never needs the judge's key; the batch says what has no verdict
    summary = f"Judge {len(work.requests)} outputs, to draw from each verdict."
    plan = await estimate_cost(workspace.engine, summary, work.calls_by_model, "evals")

    async def judge_and_draw() -> LabellingBatch:
        await carry_out(workspace, work)
        return await draw_batch(workspace, store, request)

    return Proposal(plan, judge_and_draw)


@capability(
    effect=Effect.WRITES,
    title="Label items",
    discovery=Discovery(
        Heading.JUDGES,
        "store, record, enter, note, verdicts, verdict, labels, label, annotations, annotated, "
        "human, expert, annotator, reviewer, passes, fails, failed, ok, fine, acceptable, good, "
        "bad, rude, wrong, because, ground truth, judgement, opinion, for this item, numbers, "
        "both, all good, all others, correct, incorrect, true, false, agree, disagree, my "
        "answers, my grades, my ratings, graded, marked, rated, reviewed, looked at, decided, "
        "done labelling, here are my labels, colleague's labels, mark items as passing, first one "
        "fails, invents, items pass, items fail, my labels",
    ),
)
async def label_items(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReferences,
    labels: Annotated[list[ItemLabel], Field(min_length=1)],
    rater: Annotated[str, Field(min_length=1, description="The person who gave them.")],
) -> Proposal[SavedLabels]:
    """Save the grades that a person gave: pass or fail for each output, with the reason.

    Labels of items drawn for a certificate count for it once the person has confirmed them, and
    nobody sees them. All others are for development.
    """
    store = await workspace.open_project(project)
    labelling = await open_labelling_pass(store, eval)
    parts = ledger_entries(labelling, labels, rater)
    entries = [entry for part in parts for entry in part.entries]
    first_items = [labelling.runs[entry.item] for entry in entries[:MOST_LABELS]]
    runs = await read_outputs(store, first_items)
    outputs = {item: run.output.output for item, run in runs.items()}
    return Proposal(
        plan_of_labels(parts, rater, outputs),
        partial(save_labels, store, with_confirmation(parts)),
        partial(save_unconfirmed_labels, store, without_confirmation(parts)),
    )


@capability(
    effect=Effect.SPENDS,
    title="Check a judge",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.JUDGES,
        "trust, trustworthy, reliable, reliability, agree, agreement, accurate, accuracy, "
        "validate, verify, calibrate, calibration, align, alignment, bias, biased, strict, "
        "lenient, evaluator, grader, scorer, LLM, automatic scoring, humans, human, annotators, "
        "experts, between, kappa, correlation, false positives, doubt, how often, mistakes of the "
        "judge, believe, rely on, good judge, judge the judge, quality of the judge, meta "
        "evaluation, same as me, like me, like humans, matches, match, too harsh, too generous, "
        "sceptical, suspicious, correct grades, confident, enough labels, judge, LLM judge, "
        "compared with me",
    ),
)
async def check_judge(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    evaluators: Annotated[list[str] | None, Field(description="Left out: all of the eval.")] = None,
    purpose: Literal["all", "certificate", "development"] = "all",
    target: Annotated[
        float | None, Field(gt=0, le=1, description="Certify this agreement, such as 0.85.")
    ] = None,
    show: Annotated[
        Literal["summary", "disagreements", "certificate"],
        Field(description="disagreements: where it differs. certificate: signed, to print."),
    ] = "summary",
    panel: Annotated[
        int,
        Field(ge=0, le=MOST_MEMBERS, description="Cheap judges to ask first."),
    ] = 0,
    make_current: Annotated[bool, Field(description="Use the named one from now on.")] = False,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Proposal[AgreementReport | DisagreementReport | CertificateReport]:
    """Check whether a judge can be trusted: how far it agrees with people's labels.

    With 95 % intervals, beside the best constant answer.
    """
    store = await workspace.open_project(project)
    task_eval = await find_eval(store, eval)
    golden_set = await open_golden_set(store, task_eval)
    if make_current:
        check_current(evaluators, is_measured=target is None and show == "summary")
    if target is not None or show == "certificate":
        request = CertificateRequest(
            target, show == "certificate", seed, ceilings_to_print(golden_set, seed)
        )
        judges = await judges_to_certify(store, task_eval, evaluators)
        return await propose_certificates(workspace, golden_set, judges, request)
    if show == "disagreements":
        judges = await judges_to_read(store, task_eval, evaluators)
        panels = await plan_panels(workspace, judges, golden_set, panel)
        return await propose_disagreements(workspace, golden_set, judges, panels)
    runs_by_score = labelled_runs(golden_set, purpose)
    judges = await judges_to_compare(store, task_eval, evaluators)
    panels = await plan_panels(workspace, judges, golden_set, panel)
    check = AgreementCheck(golden_set, judges, runs_by_score, purpose, seed, make_current)
    return await propose_agreement(workspace, check, panels)
