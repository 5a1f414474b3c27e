"""Capability: show the results of evals."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.evals.answers import EvalReport
from kiln_mcp.evals.arguments import ItemsToShow, ReportRequest
from kiln_mcp.evals.eval_reports import eval_report, eval_summaries
from kiln_mcp.evals.lookups import all_evals, find_eval
from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evals.results.comparison_report import ComparisonRequest, comparison_report
from kiln_mcp.evals.service import EvaluatorReference
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.answer_size import fitting_page
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import InvalidValue, NextStep
from storage.index.slices import SliceKind


@capability(
    effect=Effect.READS,
    title="Show results of evals",
    discovery=Discovery(
        Heading.EVALS,
        "results, report, scored, numbers, statistics, leaderboard, scoreboard, ranking, summary, "
        "pass rate, success rate, accuracy, last time, failed, failing, badly, errors, mistakes, "
        "went wrong, worst, why, comparison, versus, A/B test, difference, significant, winner, "
        "wins, really better, worse, regression, improved, last change, get better, got worse, "
        "did it help, noise, chance, luck, confidence, significantly, which one, better of two, "
        "side by side, outcome, examples went wrong, say about, explanation, reasons, table of "
        "scores, chart, previous run, compared to before, list evals, evals so far, did it pass, "
        "percent, how did it do, common errors, variants against each other, failing items, error "
        "analysis, failure report, which prompt won, accuracy of each model, accuracy drop, show "
        "results, where it fails",
    ),
)
async def show_results(
    workspace: Workspace,
    project: ProjectReference,
    eval: Annotated[str | None, Field(description="Its name or id; left out: list all.")] = None,
    compare: Annotated[
        list[str] | None,
        Field(min_length=1, description="Run configs, or 'all': which is better?"),
    ] = None,
    baseline: Annotated[
        str | None, Field(description="For compare; left out: the pinned one, or the first.")
    ] = None,
    items: Annotated[
        Literal["failures", "all"] | None,
        Field(description="Also show items with outputs and scores."),
    ] = None,
    run_config: Annotated[str | None, Field(description="Whose items; left out: all.")] = None,
    outputs: Annotated[
        str | None, Field(description="As in run_eval: how often they fail.")
    ] = None,
    slice_by: Annotated[SliceKind | None, Field(description="Where it fails.")] = None,
    part: MeasuredPart = "test",
    limit: Annotated[int, Field(ge=1, le=20)] = 10,
    cursor: Annotated[str | None, Field(description="The last items_cursor.")] = None,
    evaluator: EvaluatorReference = None,
) -> EvalReport | Comparison:
    """See the scores of evals, the failures (worst first), or compare whether A is better than B.

    Numbers have 95 % intervals; "cannot tell" means that the items do not decide.
    """
    store = await workspace.open_project(project)
    if compare is not None:
        if eval is None:
            raise InvalidValue("Nothing was compared: name the `eval` of the run configs.")
        request = ComparisonRequest(compare, baseline, evaluator, part)
        return await comparison_report(
            store, await find_eval(store, eval), request, workspace.author
        )
    evals = await all_evals(store)
    if eval is None:
        return EvalReport(
            evals=await eval_summaries(store, evals),
            evaluators=[],
            table=[],
            next=[]
            if evals
            else [NextStep(tool="create_evaluator", reason="say how outputs are judged")],
        )
    task_eval = await find_eval(store, eval)
    request = ReportRequest(evaluator, run_config, outputs, slice_by, part)
    if items is None and (run_config is None or slice_by is not None):
        return await eval_report(workspace, store, task_eval, request)
    view = ItemsToShow(items != "all", run_config, part, limit, cursor)

    async def find_page(size: int) -> EvalReport:
        page = replace(request, items=replace(view, limit=size))
        return await eval_report(workspace, store, task_eval, page)

    return await fitting_page(workspace.answer_tokens, limit, "items", find_page)
