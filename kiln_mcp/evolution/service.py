"""Capability: search for a better prompt and say, on held-out items, whether it is better."""

from functools import partial
from typing import Annotated

from pydantic import Field

from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.runner import ready
from kiln_mcp.evals.service import EvalReference
from kiln_mcp.evolution.answers import EvolutionReport, ModelsReport
from kiln_mcp.evolution.conclusion import conclude
from kiln_mcp.evolution.engine import Candidate, Evaluation, Item, Result, evolve
from kiln_mcp.evolution.explanation import ablation_calls, ablation_plan, explain, plan_ablation
from kiln_mcp.evolution.explanation_answers import PromptExplanation
from kiln_mcp.evolution.goals import read_goals
from kiln_mcp.evolution.live_decisions import LiveDecisions
from kiln_mcp.evolution.markdown_report import markdown_of, page_of
from kiln_mcp.evolution.report_answers import PromptSearchPage, PromptSearchReport
from kiln_mcp.evolution.search_context import (
    SearchContext,
    SearchRequest,
    calls_by_model,
    prepare,
)
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.search_plans import plan_search
from kiln_mcp.evolution.search_progress import SearchProgress
from kiln_mcp.evolution.search_reports import (
    choose_search,
    inputs_of,
    report_of,
    searches_of,
)
from kiln_mcp.evolution.several_models import calls_of_all, evolve_all, plan_all, prepare_all
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace


@capability(
    effect=Effect.SPENDS,
    title="Improve a prompt",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.PROMPTS,
        "optimise, optimize, optimisation, optimization, optimizer, tune, tuning, rewrite, "
        "refine, automatically, system prompt, instructions, instruction, wording, prompt "
        "engineering, evolve, GEPA, DSPy, best, fewer errors, stop hallucinating, scores higher, "
        "raise accuracy, increase the pass rate, fix failures, over night, work on it, until it "
        "passes, not good enough, good enough, make better, improvement, suggest, learn from "
        "failures, from the feedback, from labels, using the failures, iterate, experiment, "
        "variants, find the best prompt, stronger, more accurate, mistakes, stop making, generate "
        "prompts, candidate prompts, do it for me, on the training examples, prompt needs to get "
        "better, prompt, better prompt, improve the prompt",
    ),
)
async def improve_prompt(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    start: Annotated[str, Field(description="A run config.")],
    max_calls: Annotated[
        int,
        Field(ge=16, le=100_000, description="Without measuring."),
    ] = 200,
    seed: Annotated[int, Field(ge=0)] = 0,
    reflect_with: Annotated[
        str | None,
        Field(description="Who edits."),
    ] = None,
    goals: Annotated[
        list[str] | None,
        Field(
            description="'<score> floor 5', 'weight 2', 'target .9'; 'words 300', 'keep <text>', "
            "'require <tag>', 'shorter', 'runs 1', 'from <id>'."
        ),
    ] = None,
) -> Proposal[EvolutionReport]:
    """Improve a prompt, and prove the gain on held-out items.

    Needs train, val and test items. Saves only what is proven.
    """
    store = await workspace.open_project(project)
    eval_context = await ready(
        workspace, await load_measurement(store, await find_eval(store, eval), None)
    )
    request = SearchRequest(start, max_calls, seed, reflect_with, read_goals(goals or ()))
    search_context = await prepare(workspace, eval_context, request)
    await workspace.check_ready(store, calls_by_model(search_context))
    return Proposal(await plan_search(search_context), partial(_evolve, search_context))


@capability(
    effect=Effect.SPENDS,
    title="Improve a prompt for several models",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.PROMPTS,
        "two models at once, several models, cheaper model, small model, switch models, migrate, "
        "same prompt for another model, which model, cost against quality, table of models, "
        "optimize for each model, shared lessons",
        toolset=Toolset.ADMIN,
    ),
)
async def improve_prompt_for_models(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    starts: Annotated[
        list[str],
        Field(min_length=2, max_length=8, description="Run configs: one prompt, other models."),
    ],
    max_calls: Annotated[
        int, Field(ge=32, le=100_000, description="Of all models together, without measuring.")
    ] = 400,
    seed: Annotated[int, Field(ge=0)] = 0,
    reflect_with: Annotated[
        str | None, Field(description="Who edits; left out: the default model.")
    ] = None,
    goals: Annotated[
        list[str] | None,
        Field(description="As in improve_prompt."),
    ] = None,
) -> Proposal[ModelsReport]:
    """Improve a prompt for several models in one search: what one's failures teach, all try.

    Each model keeps a prompt of its own, with its own claim on held-out items.
    """
    store = await workspace.open_project(project)
    eval_context = await ready(
        workspace, await load_measurement(store, await find_eval(store, eval), None)
    )
    request = SearchRequest(starts[0], max_calls, seed, reflect_with, read_goals(goals or ()))
    contexts = await prepare_all(workspace, eval_context, starts, request)
    await workspace.check_ready(store, calls_of_all(contexts))
    return Proposal(await plan_all(contexts), partial(evolve_all, contexts))


@capability(
    effect=Effect.READS,
    title="Show a search for a better prompt",
    discovery=Discovery(
        Heading.PROMPTS,
        "progress, watch, live, tree, candidates, lessons, curve, Pareto, what was tried, diff, "
        "difference, rejected edits, history of the optimization, report, Markdown, why this "
        "prompt, optimizer log, evolution",
        toolset=Toolset.ADMIN,
    ),
)
async def show_prompt_search(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    search: Annotated[
        str | None, Field(description="A part of its name; left out: newest.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        Field(
            min_length=2,
            max_length=2,
            description="Two of 'start', 'best', 'candidate 3' or ids. Shows what changes.",
        ),
    ] = None,
    markdown: Annotated[bool, Field(description="All of it as one page of Markdown.")] = False,
) -> PromptSearchReport | PromptSearchPage:
    """Show what a search tried, also while it runs: tree, lessons, curve, Pareto set, differences.

    Gains are those that its races expected; what is proven stands in the verdict. To go on from a
    candidate, give improve_prompt the goal 'from <candidate>'.
    """
    store = await workspace.open_project(project)
    eval_context = await find_eval(store, eval)
    eval_record = eval_context.eval_record
    searches = await searches_of(store, eval_record)
    name = choose_search(searches, search, eval_record.name)
    ids = searches[name].item_ids
    inputs = await inputs_of(store, eval_context.task, eval_record, ids)
    report = report_of(name, searches, compare, inputs)
    return PromptSearchPage(search=name, content=markdown_of(report)) if markdown else report


@capability(
    effect=Effect.SPENDS,
    title="Explain a prompt",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.PROMPTS,
        "which sentence helps, which line matters, ablation, leave out, credit, attribution, "
        "useless, harmful, shorten, compress, prune, dead weight, few-shot examples worth, why "
        "does this prompt work, contribution",
        toolset=Toolset.ADMIN,
    ),
)
async def explain_prompt(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    run_config: Annotated[str, Field(description="Whose prompt.")],
    max_calls: Annotated[int, Field(ge=16, le=100_000)] = 600,
    seed: Annotated[int, Field(ge=0, description="Chooses the items.")] = 0,
    markdown: Annotated[bool, Field(description="Also as a page of Markdown.")] = False,
) -> Proposal[PromptExplanation]:
    """Explain what each sentence of a prompt earns: each is left out on the same items.

    With few calls whole blocks are left out. Uses training and validation items.
    """
    store = await workspace.open_project(project)
    eval_context = await ready(
        workspace, await load_measurement(store, await find_eval(store, eval), None)
    )
    request = SearchRequest(run_config, max_calls, seed, None)
    ablation = plan_ablation(await prepare(workspace, eval_context, request))
    await workspace.check_ready(store, ablation_calls(ablation))

    async def carry_out() -> PromptExplanation:
        answer = await explain(ablation)
        return answer.model_copy(update={"content": page_of(answer)}) if markdown else answer

    return Proposal(await ablation_plan(ablation), carry_out)


async def _evolve(search_context: SearchContext) -> EvolutionReport:
    workspace = search_context.workspace
    log = ResumableLog(workspace.settings.home, workspace.job or search_context.number)
    live = LiveDecisions(search_context, log)
    try:
        answer = await conclude(search_context, await _search(search_context, log, live), log, live)
        log.delete()
    finally:
        await live.close()
        log.close()
    return answer


async def _search(search_context: SearchContext, log: ResumableLog, live: LiveDecisions) -> Result:
    """Search within the budget, and say how far it is."""
    trials, progress = search_context.trials, SearchProgress([search_context], [live], log)

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        evaluation = await trials.run(candidate, item)
        await progress.count(evaluation)
        return evaluation

    return await evolve(
        search_context.origin,
        engine_items(search_context.parts.train),
        engine_items(search_context.parts.val),
        evaluate,
        search_context.proposer,
        budget=progress.budget,
        seed=search_context.request.seed,
        options=search_context.options(log),
    )
