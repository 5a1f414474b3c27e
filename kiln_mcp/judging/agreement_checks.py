"""Measure how far judges agree with people's labels, and report it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.measurement import Measurement, plan_agreement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evals.sentences import host_is_not_blind
from kiln_mcp.judging.agreement_reports import (
    agreement_rows,
    conclusions,
    human_ceilings,
    next_steps,
    nothing_measured,
)
from kiln_mcp.judging.answers import AgreementReport
from kiln_mcp.judging.bias_checks import check_biases
from kiln_mcp.judging.cascades import advise_cascade
from kiln_mcp.judging.check_plans import plan_of_check
from kiln_mcp.judging.current_judge import current_sentences, set_current_judge
from kiln_mcp.judging.execution import execution_rows, execution_sentences
from kiln_mcp.judging.judge_comparison import compare_judges
from kiln_mcp.judging.label_doubts import doubt_sentences, label_doubts, steps_to_mend
from kiln_mcp.judging.panel import PanelPlan, carry_out_panels
from kiln_mcp.judging.warnings import (
    agreement_warnings,
    failure_warnings,
    merge_steps,
    optimism_warnings,
    steps_to_certify,
)
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.llm import HOST
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalRun
from storage.errors import NextStep, Refusal
from storage.index.results import RatedItem, RecordRow


@dataclass(frozen=True, slots=True)
class AgreementCheck:
    """What is measured, and by which labels.

    Attributes:
        golden_set: The eval's labels.
        judges: The judges.
        runs_by_score: The labelled items by score key.
        purpose: The purpose of the labels.
        seed: Of all resamples.
        is_current_set: Whether the judge becomes the current one.
    """

    golden_set: GoldenSet
    judges: Sequence[Measurement]
    runs_by_score: Mapping[str, Sequence[RatedItem]]
    purpose: str
    seed: int
    is_current_set: bool = False

    @property
    def task_eval(self) -> TaskEval:
        """The eval."""
        return self.golden_set.task_eval

    @property
    def rows(self) -> list[RecordRow]:
        """The labelled items, each once."""
        runs = {run.id: run for runs in self.runs_by_score.values() for run in runs}
        return [RecordRow(run.id, run.path) for run in runs.values()]


async def propose_agreement(
    workspace: Workspace, check: AgreementCheck, panels: Sequence[PanelPlan]
) -> Proposal[AgreementReport]:
    """Return the proposal of measuring judges: missing verdicts are asked for first."""
    work = [await plan_agreement(judge, check.rows) for judge in check.judges]
    calls = sum((Counter(part.calls_by_model) for part in [*work, *panels]), Counter[str]())
    store = check.judges[0].store
    await workspace.check_ready(store, calls)
    summary = plan_of_check(
        check.task_eval.name,
        check.runs_by_score,
        panels,
        check.judges,
        is_set=check.is_current_set,
    )
    plan = await estimate_cost(workspace.engine, summary, calls, "evals")

    async def measure_judges() -> AgreementReport:
        outcomes = [await carry_out(workspace, part) for part in work]
        outcomes += await carry_out_panels(workspace, panels)
        if check.is_current_set:
            await set_current_judge(store, check.task_eval, check.judges[0].evaluator_record)
        return await agreement_report(workspace, check, outcomes)

    return Proposal(plan, measure_judges)


async def agreement_report(
    workspace: Workspace, check: AgreementCheck, outcomes: Sequence[RunOutcome]
) -> AgreementReport:
    """Return how far judges agree; scores whose labels cannot measure are left out.

    Raises:
        Refusal: No item has both a label and a verdict.
    """
    golden_set, judges, seed = check.golden_set, check.judges, check.seed
    runs_by_score, task_eval = check.runs_by_score, check.task_eval
    results = await agreement_rows(golden_set, runs_by_score, judges, seed)
    if not results:
        raise nothing_measured(task_eval, judges, outcomes)
    doubts = await label_doubts(judges[0].store, golden_set, check.purpose)
    results = [result for result in results if result[0].score not in doubts.cannot_measure]
    rows = [row for row, _ in results]
    clear_runs: dict[str, Sequence[RatedItem]] = {
        key: () if key in doubts.cannot_measure else own for key, own in runs_by_score.items()
    }
    execution = await execution_rows(golden_set, runs_by_score, judges)
    cascade = await advise_cascade(workspace.engine, golden_set, clear_runs, judges)
    return AgreementReport(
        eval=task_eval.name,
        labelled_items=len(check.rows),
        purpose=check.purpose,
        rows=rows,
        conclusions=[
            *doubt_sentences(doubts, task_eval.name),
            *execution_sentences(execution),
            *conclusions(results),
            *current_sentences(judges, task_eval, is_set=check.is_current_set),
        ],
        doubts=doubts,
        comparisons=await compare_judges(golden_set, clear_runs, judges, seed),
        bias_checks=await check_biases(golden_set, clear_runs, judges),
        cascade=cascade.sentence if cascade else None,
        execution=execution,
        human_ceiling=human_ceilings(golden_set, seed),
        new_verdicts=sum(outcome.new_verdicts for outcome in outcomes),
        failed=sum(len(outcome.failures) for outcome in outcomes),
        warnings=[
            *failure_warnings(outcomes),
            *(
                warning
                for warning in agreement_warnings(golden_set, runs_by_score, rows, check.purpose)
                if warning not in doubts.reasons
            ),
            *optimism_warnings(golden_set, runs_by_score, judges),
            *await _host_warnings(judges),
        ],
        next=steps_to_mend(doubts, task_eval.name)
        if doubts.cannot_measure
        else merge_steps(
            next_steps(results, task_eval),
            steps_to_certify(golden_set, runs_by_score, check.purpose, task_eval.name),
            [cascade.step] if cascade else [],
        ),
    )


async def _host_warnings(judges: Sequence[Measurement]) -> list[str]:
    """Return the warning of judges that are the connected assistant, with its clients' names."""
    hosts = [judge for judge in judges if judge.evaluator.model == HOST]
    if not hosts:
        return []
    names = {
        result.judge_client
        for judge in hosts
        for result in await judge.store.children(judge.evaluator_record, EvalRun)
    }
    return [host_is_not_blind(names - {""})]


def labelled_runs(golden_set: GoldenSet, purpose: str) -> dict[str, list[RatedItem]]:
    """Return the labelled items of a purpose by score key.

    Raises:
        Refusal: The eval has no such label.
    """
    runs_by_score = {
        score.json_key: [
            run
            for run in golden_set.labelled_runs(score)
            if golden_set.has_purpose(run, score, purpose)
        ]
        for score in golden_set.scores
    }
    if not any(runs_by_score.values()):
        which = " yet" if purpose == "all" else f" whose purpose is '{purpose}'"
        raise Refusal(
            "No item of '{name}' has a label{which}.",
            name=golden_set.task_eval.name,
            which=which,
            next=[
                NextStep(tool="draw_items_to_label", reason="draw items for a person to label"),
                NextStep(tool="label_items", reason="then save the labels"),
            ],
        )
    return runs_by_score
