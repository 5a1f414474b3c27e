"""Capability: search for a better prompt and say, on held-out items, whether it is better."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.runner import ready
from kiln_mcp.evals.service import EvalReference
from kiln_mcp.evolution.answers import EvolutionReport, RaceWon
from kiln_mcp.evolution.engine import Candidate, Evaluation, Item, Result, evolve
from kiln_mcp.evolution.final_measurement import HeldOut, measure
from kiln_mcp.evolution.reflection import ModelReflector
from kiln_mcp.evolution.search_context import (
    SearchContext,
    SearchRequest,
    calls_by_model,
    plan_search,
    prepare,
)
from kiln_mcp.evolution.search_log import ResumableLog, write_decisions
from kiln_mcp.evolution.trials import engine_items
from kiln_mcp.evolution.warnings import search_warnings
from kiln_mcp.evolution.winner import Winner, make_winner, save_winner
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep

KEEP: Final = "No gain could be shown: keep your prompt."


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
    start: Annotated[str, Field(description="The run config to improve.")],
    max_calls: Annotated[
        int,
        Field(ge=16, le=100_000, description="Of the search; measuring comes on top."),
    ] = 200,
    seed: Annotated[int, Field(ge=0)] = 0,
    reflect_with: Annotated[
        str | None,
        Field(description="A capable model that edits the instruction; left out: the default one."),
    ] = None,
) -> Proposal[EvolutionReport]:
    """Improve a prompt: search for a better one and prove the gain on held-out items.

    "No gain could be shown" is a regular result. The eval needs train, val and test items. A
    winner that is shown to be better is saved as a run config.
    """
    store = await workspace.open_project(project)
    eval_context = await ready(
        workspace, await load_measurement(store, await find_eval(store, eval), None)
    )
    search_context = await prepare(
        workspace, eval_context, SearchRequest(start, max_calls, seed, reflect_with)
    )
    await workspace.check_ready(store, calls_by_model(search_context))
    return Proposal(await plan_search(search_context), partial(_evolve, search_context))


async def _evolve(search_context: SearchContext) -> EvolutionReport:
    workspace = search_context.workspace
    log = ResumableLog(workspace.settings.home, workspace.job or search_context.number)
    try:
        result = await _search(search_context, log)
        winner = make_winner(search_context, result.best)
        held_out: HeldOut | None = None
        if result.best.id != result.start.id:
            held_out = await measure(search_context, result.best, winner.config, log)
            if held_out.gain_shown:
                await save_winner(search_context, winner)
        answer = _answer(search_context, _Outcome(result, winner, held_out, log.failures()))
        await _write_log(search_context, result, answer)
        log.delete()
    finally:
        log.close()
    return answer


async def _search(search_context: SearchContext, log: ResumableLog) -> Result:
    """Search within the budget, and say how far it is."""
    workspace, trials, budget = (
        search_context.workspace,
        search_context.trials,
        search_context.budget,
    )
    count = 0

    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        nonlocal count
        evaluation = await trials.run(candidate, item)
        count += budget.evaluation
        await workspace.report(count, budget.calls, "Searching")
        return evaluation

    reflector = None
    if search_context.reflecting:
        goal = search_context.eval_context.task.instruction
        reflector = ModelReflector(workspace.engine, search_context.reflecting, goal)
    return await evolve(
        search_context.start,
        engine_items(search_context.parts.train),
        engine_items(search_context.parts.val),
        evaluate,
        reflector.propose if reflector else None,
        budget=budget,
        seed=search_context.request.seed,
        options=search_context.options(log),
    )


async def _write_log(
    search_context: SearchContext, result: Result, answer: EvolutionReport
) -> None:
    """Write what was decided beside the eval."""
    request, parts = search_context.request, search_context.parts
    start = {
        "event": "start",
        "run_config": search_context.first.id,
        "model": search_context.resolved_config.model,
        "reflecting": search_context.reflecting,
        "budget": request.max_calls,
        "seed": request.seed,
        "train": [item.id for item in parts.train],
        "val": [item.id for item in parts.val],
        "test": [item.id for item in parts.test],
        "prompt": search_context.texts.prompt(search_context.start),
    }
    decisions = [{"event": "decision", **asdict(decision)} for decision in result.decisions]
    end = {"event": "result", **answer.model_dump(mode="json")}
    eval_context = search_context.eval_context
    await write_decisions(
        eval_context.store,
        eval_context.eval_record,
        search_context.file_name,
        [start, *decisions, end],
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a search and its final measurement came to."""

    result: Result
    winner: Winner
    held_out: HeldOut | None
    failures: Mapping[str, int]


def _answer(search_context: SearchContext, outcome: _Outcome) -> EvolutionReport:
    result, held_out, parts = outcome.result, outcome.held_out, search_context.parts
    gain_shown = held_out is not None and held_out.gain_shown
    store, eval_record = search_context.eval_context.store, search_context.eval_context.eval_record
    return EvolutionReport(
        verdict=_verdict(held_out, search_context.first.name),
        gain_shown=gain_shown,
        stop_reason=result.stop_reason,
        start=search_context.first.name,
        winner=outcome.winner.config.name if gain_shown else None,
        prompt_id=outcome.winner.prompt.id if gain_shown else None,
        start_prompt=search_context.texts.prompt(result.start),
        winner_prompt=search_context.texts.prompt(result.best),
        demonstrations=len(result.best.demonstrations),
        comparison=held_out.rows if held_out else [],
        held_out_items=len(parts.test),
        validation_items=len(parts.val),
        training_items=len(parts.train),
        races=len(result.decisions),
        race_wins=[
            RaceWon(
                race=number,
                change=decision.lesson or decision.operator.value,
                gain=decision.gain,
                better_on=decision.better_on,
                worse_on=decision.worse_on,
            )
            for number, decision in enumerate(result.decisions, 1)
            if decision.accepted
        ],
        max_calls=search_context.request.max_calls,
        search_calls=result.calls,
        failures_by_reason=dict(outcome.failures),
        warnings=[
            *search_warnings(result, outcome.failures),
            *(held_out.warnings if held_out else []),
        ],
        held_out_calls=held_out.calls if held_out else 0,
        seed=search_context.request.seed,
        search_log=str(store.side_folder(eval_record) / search_context.file_name),
        next=_next_steps(gain_shown=gain_shown),
    )


def _verdict(held_out: HeldOut | None, start: str) -> str:
    if held_out is None:
        return f"{KEEP} Nothing beat {start} in the search."
    if not held_out.comparisons:
        return f"{KEEP} No held-out item was scored for both {start} and the best prompt."
    return held_out.says() if held_out.gain_shown else f"{KEEP} {held_out.says()}"


def _next_steps(*, gain_shown: bool) -> list[NextStep]:
    if gain_shown:
        return [
            NextStep(tool="create_run_config", reason="use the winner's prompt as id::<prompt_id>")
        ]
    return [
        NextStep(tool="add_data", reason="add items, of which demonstrations are made"),
        NextStep(
            tool="improve_prompt",
            reason="raise max_calls, or name a capable model in reflect_with",
        ),
    ]
