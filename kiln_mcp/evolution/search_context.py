"""What a search for a better prompt works with, gathered from the project."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.datasets.parts import tag_of
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.evals.measurement import Measurement, Repeats, read_prompt_sources
from kiln_mcp.evals.results.part_uses import next_use
from kiln_mcp.evolution.engine import (
    Anchors,
    Budget,
    Candidate,
    Demonstrations,
    Options,
)
from kiln_mcp.evolution.engine.decision_log import Event
from kiln_mcp.evolution.engine.evolve import most_pipelines
from kiln_mcp.evolution.engine.steps import Propose
from kiln_mcp.evolution.goals import Goals
from kiln_mcp.evolution.prompt_texts import (
    THINKING,
    PromptTexts,
    demonstration_texts,
    texts_of,
    tool_texts_of,
    with_tool_texts,
)
from kiln_mcp.evolution.reflection import ModelReflector
from kiln_mcp.evolution.search_events import candidate_of
from kiln_mcp.evolution.search_log import FILE, ResumableLog
from kiln_mcp.evolution.search_parts import Parts, parts_of
from kiln_mcp.evolution.search_reports import searches_of
from kiln_mcp.evolution.trials import Trials
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.programs.program_files import read_program
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.run_configs.system_prompts import prompt_text
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, resolve
from kiln_mcp.run_configs.tool_loop import prepared_toolbox
from kiln_mcp.workbench.prompt_templates import load_prompt
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, TaskRunConfig
from storage.errors import InvalidValue, NextStep, Refusal
from storage.text.excerpts import excerpts

MEASURED_CANDIDATES: Final = 2
"""Start and winner are measured."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What a person asked for.

    Attributes:
        start: The run config to improve.
        max_calls: Model calls of the search.
        seed: Repeats it.
        reflect_with: A model that edits; None for the default one.
        goals: What is wanted of each score.
    """

    start: str
    max_calls: int
    seed: int
    reflect_with: str | None
    goals: Goals = field(default_factory=Goals)


@dataclass(frozen=True, slots=True)
class SearchContext:
    """A search for a better prompt: what was asked for, and what it works with.

    Attributes:
        workspace: Asks models.
        eval_context: The eval with its evaluator.
        parts: The items.
        first: The run config whose prompt is searched for.
        resolved_config: The same, resolved.
        texts: The examples of candidates.
        start: The prompt as a candidate.
        origin: What the search begins with: the start, or a candidate of an earlier search.
        number: The id of the search.
        request: What a person asked for.
        reflecting: The model that edits; None if there is none.
        tool_texts: The descriptions of tools and the bodies of skills, as they are by themselves.
        label: Tells searches of one job apart, such as those for several models.
    """

    workspace: Workspace
    eval_context: Measurement
    parts: Parts
    first: TaskRunConfig
    resolved_config: ResolvedRunConfig
    texts: PromptTexts
    start: Candidate
    origin: Candidate
    number: str
    request: SearchRequest
    reflecting: str | None
    tool_texts: Mapping[str, str] = field(default_factory=dict[str, str])
    label: str = ""

    def id_for(self, kind: str) -> str:
        """Return the id of a record of this search, the same in every attempt of its job."""
        return self.workspace.id_for(f"{kind} {self.label}" if self.label else kind)

    def repeats(self, runs: int) -> Repeats:
        """Return how an item is run so often.

        A judge is asked again about one output if its model is told to answer the same each time.
        """
        has_judge = self.eval_context.evaluator.model is not None
        if has_judge and self.resolved_config.temperature == 0:
            return Repeats(verdicts=runs)
        return Repeats(outputs=runs)

    async def next_use(self) -> int:
        """Return which claim on the held-out items the next one is."""
        items = [item.id for item in self.parts.test]
        return await next_use(self.eval_context.store, self.eval_context.eval_record, items)

    @property
    def trials(self) -> Trials:
        """What runs candidates."""
        return Trials(
            self.workspace.engine,
            self.eval_context,
            self.first,
            self.resolved_config,
            self.texts,
        )

    @property
    def proposer(self) -> Propose | None:
        """What proposes edits; None if no model does."""
        if not self.reflecting:
            return None
        reflector = ModelReflector(
            self.workspace.engine, self.reflecting, self.eval_context.task.instruction
        )
        return reflector.propose

    @property
    def file_name(self) -> str:
        """The name of the file of decisions beside the eval."""
        return FILE.format(run=f"{tag_of(self.first.name)}_{self.number}")

    @property
    def start_event(self) -> Event:
        """The first line of that file."""
        blocks = [block.fields for block in self.origin.blocks]
        return {
            "event": "start",
            "candidate": self.origin.id,
            "run_config": self.first.id,
            "name": self.first.name,
            "model": self.resolved_config.model,
            "reflecting": self.reflecting,
            "budget": self.request.max_calls,
            "seed": self.request.seed,
            "train": [item.id for item in self.parts.train],
            "val": [item.id for item in self.parts.val],
            "test": [item.id for item in self.parts.test],
            "prompt": self.texts.prompt(self.origin),
            "blocks": blocks,
        }

    @property
    def budget(self) -> Budget:
        """What the search may use; the final measurement comes on top."""
        price = self.trials.calls_each
        proposals = max(8, self.request.max_calls // (6 * price))
        calls = self.request.max_calls
        return Budget(calls, evaluation=price, proposal=1, proposals=proposals)

    def options(self, log: ResumableLog) -> Options:
        """Return what the engine is told."""
        train = self.parts.train
        evaluations = self.request.max_calls // self.trials.calls_each
        width = self.workspace.engine.width(self.trials.models)()
        advice = load_prompt("evolution", "additions").text.splitlines()
        goals = self.request.goals
        return Options(
            goals=goals.by_score(self.eval_context.score_keys),
            anchors=Anchors(goals.passages, self.parts.required, most_words=goals.most_words),
            demonstrations=Demonstrations(
                demonstration_texts(self.texts, train),
                {item.id: item.topic or item.id for item in train},
                self.texts.render,
            ),
            advice=[line for line in advice if line],
            compresses=goals.shortens,
            paraphrases=True,
            width=max(1, width),
            # The width of a server must not change the path of a search.
            pipelines=most_pipelines(evaluations, can_ask=bool(self.reflecting)),
            log=log,
        )


async def prepare(
    workspace: Workspace,
    eval_context: Measurement,
    request: SearchRequest,
    parts: Parts | None = None,
) -> SearchContext:
    """Gather what a search works with.

    Args:
        workspace: Asks models.
        eval_context: The eval with its evaluator.
        request: What a person asked for.
        parts: The items, if they are read already.

    Raises:
        Refusal: There are no train, val or test items, or two of them share inputs.
    """
    first = (await find_run_configs(eval_context.store, eval_context.task, [request.start]))[0]
    await _check_prompt_place(eval_context.store, first)
    await ready_run_configs(workspace, eval_context.store, [first])
    parts = parts or await parts_of(eval_context, request.goals.required)
    sources = await read_prompt_sources(eval_context, [first])
    text = prompt_text(eval_context.task, first, sources.prompts, sources.examples)
    texts, begin = texts_of(parts.train, text)
    resolved_config = resolve(eval_context.task, first, sources.prompts, sources.examples)
    tool_texts = _tool_texts(workspace, resolved_config)
    begin = with_tool_texts(begin, {**tool_texts, **resolved_config.tool_texts})
    request.goals.check(eval_context.score_keys, begin.text)
    reflecting = workspace.model_name(request.reflect_with)
    origin = await _origin_of(eval_context, request.goals.origin, texts) or begin
    if THINKING not in origin.components:
        origin = Candidate((*origin.blocks, *begin.blocks_of(THINKING)))
    origin = with_tool_texts(origin, tool_texts_of(begin))
    return SearchContext(
        workspace=workspace,
        eval_context=eval_context,
        parts=parts,
        first=first,
        resolved_config=resolved_config,
        texts=texts,
        start=begin,
        origin=origin,
        number=workspace.id_for("trace"),
        request=request,
        reflecting=None if reflecting == EMBEDDED else reflecting,
        tool_texts=tool_texts,
    )


def _tool_texts(workspace: Workspace, resolved_config: ResolvedRunConfig) -> Mapping[str, str]:
    """Return what a model is shown of the tools and skills of its run config, by component."""
    if not resolved_config.toolbox:
        return {}
    texts = prepared_toolbox(workspace.engine, resolved_config.toolbox).texts
    return {name: text for name, text in texts.items() if text.strip()}


def calls_by_model(search_context: SearchContext) -> dict[str, int]:
    """Return how often a search will ask which models, its final measurement included."""
    judge = search_context.eval_context.evaluator.model
    resolved_config = search_context.resolved_config
    calls_each = {resolved_config.model: resolved_config.calls_per_output}
    if judge:
        calls_each[judge] = (
            calls_each.get(judge, 0) + search_context.eval_context.evaluator.calls_per_item
        )
    repeats = search_context.repeats(search_context.request.goals.most_runs)
    items = MEASURED_CANDIDATES * len(search_context.parts.test)
    runs = -(-search_context.request.max_calls // sum(calls_each.values()))
    calls = {model: times * runs for model, times in calls_each.items()}
    calls[resolved_config.model] += resolved_config.calls_per_output * repeats.outputs * items
    if judge:
        verdicts = repeats.outputs * repeats.verdicts * items
        calls[judge] += search_context.eval_context.evaluator.calls_per_item * verdicts
    if search_context.reflecting:
        calls[search_context.reflecting] = calls.get(search_context.reflecting, 0) + runs // 8
    return calls


async def _origin_of(eval_context: Measurement, name: str, texts: PromptTexts) -> Candidate | None:
    """Return the candidate of an earlier search that a search goes on from; None for no name.

    Raises:
        InvalidValue: No search beside the eval has it.
    """
    if not name:
        return None
    searches = await searches_of(eval_context.store, eval_context.eval_record)
    by_id = {id: blocks for events in searches.values() for id, blocks in events.blocks.items()}
    if not by_id.get(name):
        raise InvalidValue(
            "No search beside this eval has the candidate '{name}': there are {names}.",
            name=name,
            names=excerpts([*by_id], limit=8) or "none",
            next=[NextStep(tool="show_prompt_search", reason="see the candidates")],
        )
    candidate = candidate_of(by_id[name])
    texts.take(candidate)
    return candidate


async def _check_prompt_place(store: ProjectStore, run_config: TaskRunConfig) -> None:
    """Refuse a program that is not handed the prompt: no candidate could be tried.

    Raises:
        Refusal: It is not.
    """
    program = await read_program(store, run_config)
    if program is not None and not program.hands_over_prompt:
        raise Refusal(
            "The program of '{name}' is not handed the prompt, so no other one can be tried with "
            "it. Let it read the prompt from a file, a variable or an argument, or name its own "
            "text file.",
            name=run_config.name,
            next=[
                NextStep(
                    tool="create_run_config",
                    reason="put {prompt_file} into the program's command, or name prompt_variable "
                    "or text_file",
                )
            ],
        )
