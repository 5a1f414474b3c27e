"""One search for several models: each run config keeps a prompt of its own, and a claim."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evolution.answers import EvolutionReport, ModelOutcome, ModelsReport
from kiln_mcp.evolution.conclusion import conclude
from kiln_mcp.evolution.engine import (
    Candidate,
    Evaluation,
    Item,
    ModelRow,
    ModelsResult,
    evolve_models,
)
from kiln_mcp.evolution.engine.values import Evaluate
from kiln_mcp.evolution.live_decisions import LiveDecisions
from kiln_mcp.evolution.prompt_texts import thinking_of
from kiln_mcp.evolution.search_context import (
    SearchContext,
    SearchRequest,
    calls_by_model,
    prepare,
)
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.search_parts import parts_of
from kiln_mcp.evolution.search_plans import floors_before, sight_before
from kiln_mcp.evolution.search_progress import SearchProgress
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import InvalidValue, NextStep, Refusal
from storage.text.excerpts import excerpts


async def prepare_all(
    workspace: Workspace, eval_context: Measurement, names: Sequence[str], request: SearchRequest
) -> list[SearchContext]:
    """Gather what a search for several run configs works with.

    Raises:
        InvalidValue: Two names mean one run config.
        Refusal: Their prompts differ, or a search for one of them is impossible.
    """
    parts = await parts_of(eval_context, request.goals.required)
    contexts = [
        await prepare(workspace, eval_context, replace(request, start=name), parts)
        for name in names
    ]
    contexts = [replace(context, label=context.first.id) for context in contexts]
    ids = [context.label for context in contexts]
    if len(set(ids)) < len(ids):
        raise InvalidValue("Each run config is named once: name one for each model.")
    prompts = {(c.texts.prompt(c.start), thinking_of(c.start)) for c in contexts}
    if len(prompts) > 1:
        raise Refusal(
            "The run configs {names} have different prompts. One search starts from one prompt.",
            names=excerpts([context.first.name for context in contexts]),
            next=[
                NextStep(
                    tool="create_run_config", reason="give each model the same prompt to start"
                )
            ],
        )
    return contexts


def calls_of_all(contexts: Sequence[SearchContext]) -> dict[str, int]:
    """Return how often a search will ask which models at most.

    The search may spend its calls on any of them; each has a measurement of its own.
    """
    calls = Counter[str]()
    for context in contexts:
        calls += Counter(calls_by_model(context))
    return dict(calls)


async def plan_all(contexts: Sequence[SearchContext]) -> Plan:
    """Return what a search for several models will do and cost."""
    first = contexts[0]
    models = ", ".join(context.resolved_config.model for context in contexts)
    summary = (
        f"Search for a better prompt for each of {models} with {first.request.max_calls} calls "
        f"in all, then measure each with its start on {len(first.parts.test)} held-out items. "
        f"{await sight_before(first)}{await floors_before(first)}"
    )
    return await estimate_cost(first.workspace.engine, summary, calls_of_all(contexts), "evolution")


async def evolve_all(contexts: Sequence[SearchContext]) -> ModelsReport:
    """Search for a better prompt for each model, and measure each.

    Raises:
        ModelError: One that ends the work; what was answered is in the log.
    """
    first = contexts[0]
    workspace = first.workspace
    log = ResumableLog(workspace.settings.home, workspace.job or first.number)
    lives = [LiveDecisions(context, log) for context in contexts]
    try:
        result = await _search(contexts, log, lives)
        rows = {row.model: row for row in result.table}
        outcomes: list[ModelOutcome] = []
        for context, live in zip(contexts, lives, strict=True):
            answer = await conclude(context, result.by_model[context.label], log, live)
            outcomes.append(_outcome(context, rows[context.label], answer))
        log.delete()
    finally:
        for live in lives:
            await live.close()
        log.close()
    gains = [outcome.start for outcome in outcomes if outcome.report.gain_shown]
    verdict = f"A gain is shown for {', '.join(gains)}." if gains else "No gain could be shown."
    return ModelsReport(
        verdict=verdict,
        models=outcomes,
        max_calls=first.request.max_calls,
        search_calls=next(iter(result.by_model.values())).calls,
        seed=first.request.seed,
        next=[NextStep(tool="show_prompt_search", reason="see what was tried for each model")],
    )


async def _search(
    contexts: Sequence[SearchContext], log: ResumableLog, lives: Sequence[LiveDecisions]
) -> ModelsResult:
    first = contexts[0]
    progress = SearchProgress(contexts, lives, log)

    def evaluate_with(context: SearchContext) -> Evaluate:
        async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
            evaluation = await context.trials.run(candidate, item)
            await progress.count(evaluation)
            return evaluation

        return evaluate

    return await evolve_models(
        first.origin,
        engine_items(first.parts.train),
        engine_items(first.parts.val),
        {context.label: evaluate_with(context) for context in contexts},
        first.proposer,
        budget=progress.budget,
        seed=first.request.seed,
        options=first.options(log),
    )


def _outcome(context: SearchContext, row: ModelRow, report: EvolutionReport) -> ModelOutcome:
    return ModelOutcome(
        model=context.resolved_config.model,
        start=context.first.name,
        winner=report.winner,
        start_value=round(row.start, 4),
        best_value=round(row.best, 4),
        cost_usd=row.cost_usd,
        seconds=round(row.seconds, 3),
        own_edits=row.own_edits,
        shared_edits=row.shared_edits,
        claim=report.verdict,
        report=report,
    )
