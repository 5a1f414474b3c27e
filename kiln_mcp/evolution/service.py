"""Capability: search for a better prompt and say, on held-out items, whether it is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.comparison import PairedDifference, in_words, paired_difference, range_of
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.measurement import plan_run
from kiln_mcp.evals.results.part_uses import PartClaim, UseNumber, count_use
from kiln_mcp.evals.run_outcomes import Failure
from kiln_mcp.evals.runner import carry_out, ready
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.evals.service import EvalReference
from kiln_mcp.evolution.answers import EvolutionReport, RaceWon
from kiln_mcp.evolution.call_quota import CallQuota
from kiln_mcp.evolution.race import Standing
from kiln_mcp.evolution.reflection import Mirror, ModelReflector
from kiln_mcp.evolution.search import SearchInputs, SearchResult, evolve
from kiln_mcp.evolution.search_context import (
    SearchContext,
    SearchRequest,
    calls_by_model,
    plan_search,
    prepare,
    search_space,
)
from kiln_mcp.evolution.trials import ValidationScorer
from kiln_mcp.evolution.warnings import search_warnings
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import PromptText
from kiln_mcp.run_configs.task_runs import agent_properties
from kiln_mcp.statistics import Interval
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import Prompt, TaskRunConfig
from storage.errors import NextStep
from storage.records.run_config import PROGRAM_FILE

GENERATOR: Final = "kiln_mcp::evolve_prompt"
KEEP: Final = "No gain could be shown: keep your prompt."


@dataclass(frozen=True, slots=True)
class _Saved:
    """The winner as it is saved."""

    config: TaskRunConfig
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """What the held-out items say about start and winner, by score."""

    keys: Sequence[str]
    differences: Sequence[PairedDifference]
    calls: int
    failures: Sequence[Failure]
    use: UseNumber

    @property
    def warnings(self) -> list[str]:
        """What to know of the held-out items: how often claims were made on them."""
        problem = [self.use.problem] if self.use.problem else []
        if self.use.number == 1:
            return problem
        return [
            f"{self.use.says} Each use makes a gain by luck more likely, so later ones need "
            "clearer gains. Measure the winner on fresh items.",
            *problem,
        ]

    @property
    def gain_shown(self) -> bool:
        """Whether the first score's interval is above 0 and no other one is below."""
        if not self.differences:
            return False
        intervals = [interval.interval for interval in self.differences]
        if any(isinstance(interval, Interval) and interval.high < 0 for interval in intervals):
            return False
        first = self.differences[0]
        return first.conclusive and first.difference > 0


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

    "No gain could be shown" is a regular result. The eval needs train, val and test items. The
    winner is saved as a run config.
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
    result, failures_by_reason = await _search(search_context)
    better = result.best.key != search_context.start.key
    saved = await _save(search_context, result) if better else None
    held_out = await _measure(search_context, saved) if saved else None
    answer = _answer(search_context, result, failures_by_reason, saved, held_out)
    await search_context.log.write("result", answer.model_dump(mode="json"))
    return answer


async def _search(search_context: SearchContext) -> tuple[SearchResult, Mapping[str, int]]:
    """Search; return what was found, and why runs of candidates have no score."""
    request, trials = search_context.request, search_context.trials
    await search_context.log.write(
        "start",
        {
            "run_config": search_context.first.id,
            "model": search_context.resolved_config.model,
            "reflecting": search_context.reflecting,
            "budget": request.max_calls,
            "seed": request.seed,
            "train": [item.id for item in search_context.parts.train],
            "val": [item.id for item in search_context.parts.val],
            "test": [item.id for item in search_context.parts.test],
            "prompt": search_context.demonstrations.prompt(search_context.start),
        },
    )
    reflector = None
    if search_context.reflecting:
        goal = search_context.eval_context.task.instruction
        mirror = Mirror(
            search_context.workspace.engine,
            search_context.reflecting,
            goal,
            search_context.parts.train,
            request.seed,
        )
        reflector = ModelReflector(mirror, trials)
    inputs = SearchInputs(
        space=search_space(search_context),
        items=tuple(item.id for item in search_context.parts.val),
        scorer=ValidationScorer(
            trials, search_context.parts.val, search_context.workspace.report, request.max_calls
        ),
        log=search_context.log,
        reflector=reflector,
    )
    quota = CallQuota(request.max_calls)
    return await evolve(search_context.start, inputs, quota, request.seed), trials.failures


async def _save(search_context: SearchContext, result: SearchResult) -> _Saved:
    """Save the winner as a prompt and a run config, both or none; once for all attempts."""
    eval_context, workspace = search_context.eval_context, search_context.workspace
    config_id, prompt_id = workspace.id_for("run config"), workspace.id_for("prompt")
    text = PromptText(
        search_context.demonstrations.prompt(result.best), search_context.resolved_config.thinking
    )
    number = search_context.log.path.stem[-4:]
    name = f"{search_context.first.name} evolved {number}"
    properties = agent_properties(search_context.first)
    definition = RunConfigDefinition(name=name, prompt=text.prompt)
    project, model = eval_context.store.project, search_context.resolved_config.model
    draft = make_run_config(project, eval_context.task, definition, model, text, config_id)
    frozen = getattr(draft.run_config_properties, "prompt_id", "")
    config = draft.replace(
        # All settings of the start, so that the prompt is all that differs.
        run_config_properties=properties.replace(prompt_id=frozen),
        prompt=draft.prompt.replace(generator_id=GENERATOR) if draft.prompt else None,
    )
    prompt = Prompt(
        id=prompt_id,
        name=name,
        description="Found by a search for a better prompt, seed "
        f"{search_context.request.seed}; every decision is in {search_context.log.path.name} "
        f"beside the eval {eval_context.eval_record.name!r}.",
        generator_id=GENERATOR,
        prompt=text.prompt,
        chain_of_thought_instructions=text.thinking,
    )
    configs = await eval_context.store.children(eval_context.task, TaskRunConfig)
    if config_id not in {record.id for record in configs}:
        lines = await eval_context.store.side_lines(search_context.first, PROGRAM_FILE)
        async with eval_context.store.transaction(is_patient=True) as change:
            change.save(prompt, parent=eval_context.task)
            saved = change.save(config, parent=eval_context.task)
            change.append_lines(saved, PROGRAM_FILE, lines)
    return _Saved(config, prompt)


async def _measure(search_context: SearchContext, saved: _Saved) -> _HeldOut:
    """Run start and winner on the held-out items; what is there of the start is kept."""
    store = search_context.eval_context.store
    task_eval = TaskEval(search_context.eval_context.task, search_context.eval_context.eval_record)
    eval_context = await load_measurement(
        store, task_eval, search_context.eval_context.evaluator_record.id
    )
    configs = [search_context.first, saved.config]
    work = await plan_run(eval_context, configs, search_context.parts.test)
    outcome = await carry_out(search_context.workspace, work)
    items = {item.id for item in search_context.parts.test}
    outputs = await read_scored_outputs(eval_context, configs)
    claim = PartClaim(
        evaluator=eval_context.evaluator_record.id,
        run_configs=[config.id for config in configs],
        baseline=search_context.first.id,
        scores={
            (config.id, key): outputs.means(config.id, key, items)
            for config in configs
            for key in eval_context.score_keys
            if key not in outputs.empty
        },
        items=items,
    )
    author = search_context.workspace.author
    use = await count_use(store, eval_context.eval_record, claim, author)
    keys: list[str] = []
    differences: list[PairedDifference] = []
    for score in eval_context.eval_record.output_scores:
        key = score.json_key
        first, second = [outputs.means(config.id, key, items) for config in configs]
        if first.keys() & second.keys():
            keys.append(key)
            seed, span = search_context.request.seed, range_of(score.type)
            differences.append(paired_difference(first, second, seed, span, 1 - use.error))
    calls = sum(work.calls_by_model.values())
    return _HeldOut(keys, differences, calls, outcome.failures, use)


def _answer(
    search_context: SearchContext,
    result: SearchResult,
    failures_by_reason: Mapping[str, int],
    saved: _Saved | None,
    held_out: _HeldOut | None,
) -> EvolutionReport:
    names = (search_context.first.name, saved.config.name if saved else "")
    gain_shown = held_out is not None and held_out.gain_shown
    return EvolutionReport(
        verdict=_verdict(held_out, names),
        gain_shown=gain_shown,
        start=search_context.first.name,
        winner=saved.config.name if saved else None,
        prompt_id=saved.prompt.id if saved else None,
        start_prompt=search_context.demonstrations.prompt(search_context.start),
        winner_prompt=search_context.demonstrations.prompt(result.best),
        demonstrations=len(result.best.demonstrations),
        comparison=[
            ComparisonRow.of(key, difference, in_words(difference, *names))
            for key, difference in zip(held_out.keys, held_out.differences, strict=True)
        ]
        if held_out
        else [],
        held_out_items=len(search_context.parts.test),
        validation_items=len(search_context.parts.val),
        training_items=len(search_context.parts.train),
        races=result.races,
        race_wins=[
            RaceWon(
                race=race.number,
                change=race.proposal.reason or race.proposal.operator.value,
                items=race.items,
                better_on=race.wins,
                worse_on=race.losses,
            )
            for race in search_context.log.races
            if race.standing is Standing.WON
        ],
        max_calls=search_context.request.max_calls,
        search_calls=result.calls,
        failures_by_reason=dict(failures_by_reason),
        warnings=[
            *search_warnings(
                result,
                failures_by_reason,
                held_out.failures if held_out else (),
                search_context.start,
            ),
            *(held_out.warnings if held_out else []),
        ],
        held_out_calls=held_out.calls if held_out else 0,
        seed=search_context.request.seed,
        search_log=str(search_context.log.path),
        next=_next_steps(gain_shown=gain_shown),
    )


def _verdict(held_out: _HeldOut | None, names: tuple[str, str]) -> str:
    if held_out is None:
        return f"{KEEP} Nothing beat {names[0]} on the validation items."
    if not held_out.differences:
        return f"{KEEP} No held-out item was scored for both {names[0]} and {names[1]}."
    sentence = in_words(held_out.differences[0], *names)
    if held_out.gain_shown:
        return sentence
    return f"{KEEP} {sentence}"


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
