"""Generate data: a coverage plan, inputs for it, outputs by the task itself."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.counts import SESSION_TAG
from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.datasets.items import data_set
from kiln_mcp.llm import EMBEDDED, Engine
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, resolve
from kiln_mcp.synthesis.answers import CellCoverage
from kiln_mcp.synthesis.coverage_plan import Aim, Cell, coverage_plan
from kiln_mcp.synthesis.inputs import (
    EXAMPLES_SHOWN,
    Brief,
    CapableMaker,
    InputMaker,
    ListMaker,
    MadeInput,
    make_inputs,
    propose_topics,
)
from kiln_mcp.synthesis.new_items import as_stored_text, source_of
from kiln_mcp.synthesis.outputs import TaskInput, choose_run_config
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import (
    DataGuide,
    DataSource,
    ProjectStore,
    Prompt,
    Spec,
    Task,
    TaskRun,
    TaskRunConfig,
)
from storage.errors import Refusal
from storage.records.run import TOPIC

GENERATOR: Final = "kiln_data_gen"
"""The adapter that Kiln names for generated inputs."""
_TOPICS: Final = 8


class GenerationRequest(BaseModel):
    """What data to generate."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    count: int = Field(default=40, ge=1, le=1000, description="How many items.")
    topics: list[str] = Field(
        default=[], description="What they are about; left out: a capable model names some."
    )
    examples: list[str] = Field(
        default=[],
        description="Real inputs to be like; needed with the embedded model; left out: the task's.",
    )
    spec: str | None = Field(
        default=None, description="The spec to cover: passing, failing, borderline."
    )
    guidance: str = Field(default="", description="Further wishes.")
    seed: int = Field(default=0, description="Repeats sampling where the model offers it.")


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """Everything that generation reads from the project.

    Attributes:
        store: The open project.
        task: The task.
        existing: Inputs of its dataset.
        config: The run config that answers; not saved yet where the task had none.
        resolved_config: The same, resolved.
        brief: What inputs are made for.
        request: What to generate.
        ids: The id of each item that is to be made; the same in all attempts at a job.
        saved: Those of them that an earlier attempt has saved.
    """

    store: ProjectStore
    task: Task
    existing: tuple[str, ...]
    config: TaskRunConfig
    resolved_config: ResolvedRunConfig
    brief: Brief
    request: GenerationRequest
    ids: tuple[str, ...]
    saved: frozenset[str]

    @property
    def session(self) -> str:
        """Six digits that mark this generation's items."""
        return self.ids[0][:6]

    @property
    def session_tag(self) -> str:
        """The tag of this generation's items."""
        return f"{SESSION_TAG}{self.session}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs with their sources, what fills which cell, and what was dropped."""

    task_inputs: tuple[TaskInput, ...]
    cells: tuple[Cell | None, ...]
    plan: tuple[Cell, ...]
    reject_count: int
    author: str


async def open_generation(
    store: ProjectStore,
    task: Task,
    request: GenerationRequest,
    run_config: str | None,
    model: str,
    ids: Sequence[str],
) -> GenerationContext:
    """Read what generation needs.

    What an earlier attempt has saved is left out, so that the same is asked again, and answered
    from the response cache.

    Args:
        store: The open project.
        task: The task.
        request: What to generate.
        run_config: What answers; None for the task's own.
        model: What a new run config asks.
        ids: The id of each item that is to be made.

    Raises:
        RecordNotFound: There is no such run config or spec.
        Refusal: The run config does not run here.
    """
    runs = await store.children(task, TaskRun)
    configs = await store.children(task, TaskRunConfig)
    config = choose_run_config(store.project, task, configs, run_config, model)
    prompts = await store.children(task, Prompt)
    spec_text = ""
    if request.spec is not None:
        spec_text = (await store.find(Spec, request.spec, parent=task)).definition
    guides = [guide.guide for guide in await store.children(task, DataGuide)]
    schema: JsonValue = json.loads(task.input_json_schema) if task.input_json_schema else None
    saved = frozenset(ids) & {run.id for run in runs}
    existing = tuple(run.input for run in data_set(runs) if run.id not in saved)
    brief = Brief(
        instruction=task.instruction,
        spec_text=spec_text,
        guidance="\n\n".join(text for text in [request.guidance, *guides] if text.strip()),
        examples=tuple(dict.fromkeys(request.examples or existing)),
        input_schema=schema,
        seed=request.seed,
    )
    return GenerationContext(
        store=store,
        task=task,
        existing=existing,
        config=config,
        resolved_config=resolve(
            task, config, prompts, await runs_to_show(store, task), request.seed
        ),
        brief=brief,
        request=request,
        ids=tuple(ids),
        saved=saved,
    )


def calls_of_generation(
    context: GenerationContext, model: str, *, input_count: int
) -> dict[str, int]:
    """Return how often generating asks each model; `input_count` inputs are there already."""
    count = input_count or context.request.count
    calls: Counter[str] = Counter(
        {context.resolved_config.model: count * context.resolved_config.calls_per_output}
    )
    if not input_count:
        calls[model] += count if model == EMBEDDED else 1 + count // 4
    return calls


async def plan_generation(
    engine: Engine, context: GenerationContext, model: str, *, input_count: int
) -> Plan:
    """Return what generating will cost; `input_count` is how many inputs are there already."""
    count = input_count or context.request.count
    calls = calls_of_generation(context, model, input_count=input_count)
    summary = f"Generate {count} items for the task '{context.task.name}'."
    return await estimate_cost(engine, summary, calls, "synthesis")


async def inputs_by_model(engine: Engine, context: GenerationContext, model: str) -> Inputs:
    """Return inputs that a model makes for a coverage plan.

    Raises:
        Refusal: The embedded model has too few examples, or inputs are JSON.
        ModelError: The model gave no usable answer.
    """
    brief, request = context.brief, context.request
    topics = list(dict.fromkeys(topic.strip() for topic in request.topics if topic.strip()))
    maker: InputMaker
    if model == EMBEDDED:
        if len(brief.examples) < EXAMPLES_SHOWN or brief.input_schema is not None:
            raise Refusal(
                "The embedded model makes inputs by going on with a list of {least} or more, and "
                "there are {count}. Give `examples`, write the inputs yourself as `inputs`, or "
                "name a stronger model as `model`.",
                least=EXAMPLES_SHOWN,
                count=len(brief.examples),
            )
        maker = ListMaker(engine, model, brief)
    else:
        maker = CapableMaker(engine, model, brief)
        topic_count = min(_TOPICS, max(1, request.count // 3))
        topics = topics or await propose_topics(engine, model, brief, topic_count)
    plan = coverage_plan(topics or [""], request.count)
    if model == EMBEDDED:
        plan = _without_aims(plan)
    avoid = (*context.existing, *request.examples)
    width = engine.width([model])
    batch = await make_inputs(maker, plan, avoid, brief.input_schema, width)
    return Inputs(
        task_inputs=tuple(_task_input(item, context, model) for item in batch.inputs),
        cells=tuple(item.cell for item in batch.inputs),
        plan=plan,
        reject_count=batch.reject_count,
        author=model,
    )


async def inputs_of_assistant(context: GenerationContext, values: Sequence[JsonValue]) -> Inputs:
    """Return the assistant's own inputs, repeated and known ones left out.

    Raises:
        Refusal: An input does not fit the task's schema.
    """
    schema = context.task.input_json_schema
    texts = [
        await as_stored_text(value, schema, position, "input")
        for position, value in enumerate(values, 1)
    ]
    fresh = [text for text in dict.fromkeys(texts) if text not in context.existing]
    source = source_of("assistant")
    return Inputs(
        task_inputs=tuple(TaskInput(text, source, _tags(context)) for text in fresh),
        cells=(None,) * len(fresh),
        plan=(),
        reject_count=len(texts) - len(fresh),
        author="you",
    )


def coverage(inputs: Inputs, runs: Sequence[TaskRun | None]) -> list[CellCoverage]:
    """Return for each cell of the plan how many items were wanted and are there."""
    counts = Counter(
        cell for cell, run in zip(inputs.cells, runs, strict=True) if cell is not None and run
    )
    return [
        CellCoverage(
            topic=cell.topic or "any",
            aim=str(cell.aim),
            planned_items=cell.count,
            items=counts[cell],
        )
        for cell in inputs.plan
    ]


def _without_aims(plan: Sequence[Cell]) -> tuple[Cell, ...]:
    """Put a topic's cells together: a model that follows no instructions cannot aim."""
    counts: Counter[str] = Counter()
    for cell in plan:
        counts[cell.topic] += cell.count
    return tuple(Cell(topic, Aim.ANY, count) for topic, count in counts.items())


def _tags(context: GenerationContext) -> tuple[str, ...]:
    return ("synthetic", context.session_tag)


def _task_input(item: MadeInput, context: GenerationContext, model: str) -> TaskInput:
    model_name = stored_model(model)
    properties: dict[str, str | int | float] = {
        "model_name": model_name.name,
        "model_provider": model_name.provider,
        "adapter_name": GENERATOR,
        "aim": str(item.cell.aim),
        "seed": context.request.seed,
    }
    if item.cell.topic:
        properties[TOPIC] = item.cell.topic
    if model != EMBEDDED:
        properties["prompt_fingerprint"] = load_prompt("synthesis", "inputs").fingerprint
    return TaskInput(item.text, DataSource(type="synthetic", properties=properties), _tags(context))
