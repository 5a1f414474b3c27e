"""Capability: search for a better prompt and say, on held-out items, whether it is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evals.comparison import PairedDifference, in_words, paired_difference
from kiln_mcp.evals.lookups import TaskEval, find_eval, gather
from kiln_mcp.evals.runner import carry_out, ready
from kiln_mcp.evals.service import EvalReference
from kiln_mcp.evals.summaries import scores_by_item
from kiln_mcp.evals.work import plan_run
from kiln_mcp.evolution.allowance import Allowance
from kiln_mcp.evolution.answers import PromptEvolved, RaceWon
from kiln_mcp.evolution.quest import Quest, Wanted, calls_by_model, plan_quest, pool_of, prepare
from kiln_mcp.evolution.race import Standing
from kiln_mcp.evolution.reflection import Mirror, ModelReflector
from kiln_mcp.evolution.search import Found, Ground, evolve
from kiln_mcp.evolution.trials import ValidationScorer
from kiln_mcp.projects.references import ProjectReference
from kiln_mcp.run_configs.arguments import RunConfigDefinition
from kiln_mcp.run_configs.prompts import PromptText
from kiln_mcp.run_configs.records import make_run_config
from kiln_mcp.run_configs.task_runs import agent_properties
from kiln_mcp.statistics import Interval
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Prompt, TaskRunConfig

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
    paired: Sequence[PairedDifference]
    calls: int

    @property
    def gain_shown(self) -> bool:
        """Whether the first score's interval is above 0 and no other one is below."""
        intervals = [one.interval for one in self.paired]
        if any(isinstance(one, Interval) and one.high < 0 for one in intervals):
            return False
        return isinstance(intervals[0], Interval) and intervals[0].low > 0


@capability(effect=Effect.SPENDS, title="Search for a better prompt", runs=Runs.AS_JOB)
async def evolve_prompt(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    start: Annotated[str, Field(description="The run config to improve: its name or id.")],
    budget: Annotated[
        int,
        Field(ge=16, le=100_000, description="Model calls of the search; measuring comes on top."),
    ] = 200,
    seed: Annotated[int, Field(ge=0, description="Repeats the search.")] = 0,
    reflect_with: Annotated[
        str | None,
        Field(
            description="A capable model that edits the instruction; left out: the default model, "
            "or none where that is the embedded one, which cannot."
        ),
    ] = None,
) -> Proposal[PromptEvolved]:
    """Search for a better prompt and measure it against the start on held-out items.

    Candidates are made of training items, raced on validation items, and the winner alone is
    compared with the start on test items that took no part, with a 95 % interval. "No gain could
    be shown" is a regular result. The eval needs train, val and test items: split_data, then
    create_evaluator with its filters. The winner is saved as a prompt and a run config.
    """
    store = await workspace.open_project(project)
    about = await ready(workspace, await gather(store, await find_eval(store, eval), None))
    quest = await prepare(workspace, about, Wanted(start, budget, seed, reflect_with))
    await workspace.check_ready(store, calls_by_model(quest))
    return Proposal(await plan_quest(quest), partial(_evolve, quest))


async def _evolve(quest: Quest) -> PromptEvolved:
    found = await _search(quest)
    better = found.best.key != quest.start.key
    saved = await _save(quest, found) if better else None
    held_out = await _measure(quest, saved) if saved else None
    answer = _answer(quest, found, saved, held_out)
    await quest.trace.write("result", answer.model_dump(mode="json"))
    return answer


async def _search(quest: Quest) -> Found:
    wanted, trials = quest.wanted, quest.trials
    await quest.trace.write(
        "start",
        {
            "run_config": quest.first.id,
            "model": quest.setup.model,
            "reflecting": quest.reflecting,
            "budget": wanted.budget,
            "seed": wanted.seed,
            "train": [item.id for item in quest.parts.train],
            "val": [item.id for item in quest.parts.val],
            "test": [item.id for item in quest.parts.test],
            "prompt": quest.shown.prompt(quest.start),
        },
    )
    reflector = None
    if quest.reflecting:
        goal = quest.about.task.instruction
        mirror = Mirror(
            quest.workspace.engine, quest.reflecting, goal, quest.parts.train, wanted.seed
        )
        reflector = ModelReflector(mirror, trials)
    ground = Ground(
        pool=pool_of(quest),
        items=tuple(item.id for item in quest.parts.val),
        scorer=ValidationScorer(trials, quest.parts.val, quest.workspace.report, wanted.budget),
        trace=quest.trace,
        reflector=reflector,
    )
    return await evolve(quest.start, ground, Allowance(wanted.budget), wanted.seed)


async def _save(quest: Quest, found: Found) -> _Saved:
    """Save the winner as a prompt and a run config, both or none; once for all attempts."""
    about, workspace = quest.about, quest.workspace
    config_id, prompt_id = workspace.id_for("run config"), workspace.id_for("prompt")
    text = PromptText(quest.shown.prompt(found.best), quest.setup.thinking)
    number = quest.trace.path.stem[-4:]
    name = f"{quest.first.name} evolved {number}"
    properties = agent_properties(quest.first)
    definition = RunConfigDefinition(name=name, prompt=text.prompt)
    project, model = about.store.project, quest.setup.model
    made = make_run_config(project, about.task, definition, model, text, config_id)
    frozen = getattr(made.run_config_properties, "prompt_id", "")
    config = made.replace(
        # All settings of the start, so that the prompt is all that differs.
        run_config_properties=properties.replace(prompt_id=frozen),
        prompt=made.prompt.replace(generator_id=GENERATOR) if made.prompt else None,
    )
    prompt = Prompt(
        id=prompt_id,
        name=name,
        description=f"Found by evolve_prompt, seed {quest.wanted.seed}; every decision is in "
        f"{quest.trace.path.name} beside the eval {about.measured.name!r}.",
        generator_id=GENERATOR,
        prompt=text.prompt,
        chain_of_thought_instructions=text.thinking,
    )
    configs = await about.store.children(about.task, TaskRunConfig)
    if config_id not in {one.id for one in configs}:
        async with about.store.transaction() as change:
            change.save(prompt, parent=about.task)
            change.save(config, parent=about.task)
    return _Saved(config, prompt)


async def _measure(quest: Quest, saved: _Saved) -> _HeldOut:
    """Run start and winner on the held-out items; what is there of the start is kept."""
    store = quest.about.store
    task_eval = TaskEval(quest.about.task, quest.about.measured)
    about = await gather(store, task_eval, quest.about.judge.id)
    configs = [quest.first, saved.config]
    work = plan_run(about, configs, quest.parts.test)
    await carry_out(quest.workspace, work)
    after = await gather(store, task_eval, quest.about.judge.id)
    items = {item.id for item in quest.parts.test}
    keys = [score.json_key for score in about.measured.output_scores]
    paired: list[PairedDifference] = []
    for key in keys:
        first, second = (
            {
                item: score
                for item, score in scores_by_item(after.verdicts, config.id, key).items()
                if item in items
            }
            for config in configs
        )
        paired.append(paired_difference(first, second, seed=quest.wanted.seed))
    return _HeldOut(keys, paired, sum(work.calls_by_model.values()))


def _answer(
    quest: Quest, found: Found, saved: _Saved | None, held_out: _HeldOut | None
) -> PromptEvolved:
    names = (quest.first.name, saved.config.name if saved else "")
    shown = held_out is not None and held_out.gain_shown
    return PromptEvolved(
        verdict=_verdict(held_out, names),
        gain_shown=shown,
        start=quest.first.name,
        winner=saved.config.name if saved else None,
        prompt_id=saved.prompt.id if saved else None,
        start_prompt=quest.shown.prompt(quest.start),
        winner_prompt=quest.shown.prompt(found.best),
        demonstrations=len(found.best.demonstrations),
        comparison=[
            ComparisonRow.of(key, paired, in_words(paired, *names))
            for key, paired in zip(held_out.keys, held_out.paired, strict=True)
        ]
        if held_out
        else [],
        held_out_items=len(quest.parts.test),
        validation_items=len(quest.parts.val),
        training_items=len(quest.parts.train),
        races=found.races,
        won=[
            RaceWon(
                race=race.number,
                change=race.proposal.reason or race.proposal.operator.value,
                items=race.items,
                better_on=race.wins,
                worse_on=race.losses,
            )
            for race in quest.trace.races
            if race.standing is Standing.WON
        ],
        budget=quest.wanted.budget,
        search_calls=found.calls,
        held_out_calls=held_out.calls if held_out else 0,
        seed=quest.wanted.seed,
        trace=str(quest.trace.path),
        next_step=_next_step(shown=shown),
    )


def _verdict(held_out: _HeldOut | None, names: tuple[str, str]) -> str:
    if held_out is None:
        return f"{KEEP} Nothing beat {names[0]} on the validation items."
    said = in_words(held_out.paired[0], *names)
    if held_out.gain_shown:
        return said
    return f"{KEEP} {said}"


def _next_step(*, shown: bool) -> str:
    if shown:
        return "Use the winner's prompt; create_run_config takes it as id::<prompt_id>."
    return "Add items or demonstrations, raise the budget, or name a model in reflect_with."
