"""What generating data reads from a project, and the plan that it begins with."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.counts import SESSION_TAG
from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.datasets.items import data_set
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, resolve
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.synthesis.coverage_plan import Aim, Quota
from kiln_mcp.synthesis.data_plan import DataPlan, PlanClause
from kiln_mcp.synthesis.inputs import Brief
from kiln_mcp.synthesis.list_inputs import EXAMPLES_SHOWN
from kiln_mcp.synthesis.outputs import choose_run_config
from kiln_mcp.synthesis.plan_settings import PlanSettings, quotas_for
from storage import DataGuide, ProjectStore, Prompt, Spec, Task, TaskRun, TaskRunConfig
from storage.errors import NextStep, Refusal

USUAL_COUNT: Final = 40
_MOST_CLASSES: Final = 30


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """Everything that generation reads from the project.

    Attributes:
        store: The open project.
        task: The task.
        existing: The dataset, without what an earlier attempt has saved.
        config: The run config that answers; not saved yet where the task had none.
        resolved_config: The same, resolved.
        brief: What inputs are made for.
        spec: The spec; None for none.
        clauses: Its clauses.
        ids: The id of each item that is to be made; the same in all attempts at a job.
        saved: Those of them that an earlier attempt has saved.
    """

    store: ProjectStore
    task: Task
    existing: tuple[TaskRun, ...]
    config: TaskRunConfig
    resolved_config: ResolvedRunConfig
    brief: Brief
    spec: Spec | None
    clauses: list[PlanClause]
    ids: tuple[str, ...]
    saved: frozenset[str]

    @property
    def session_tag(self) -> str:
        """The tag of this generation's items."""
        return f"{SESSION_TAG}{self.ids[0][:6]}"

    @property
    def topic_counts(self) -> Mapping[str, int]:
        """How many items the dataset has of each topic, the most frequent first."""
        counts = Counter(run.topic for run in self.existing if run.topic)
        return dict(counts.most_common())

    @property
    def existing_inputs(self) -> list[str]:
        """The inputs of the dataset; of conversations their first message."""
        return [run.user_turns[0] for run in self.existing]


async def open_generation(
    store: ProjectStore, task: Task, settings: PlanSettings, model: str, ids: Sequence[str]
) -> GenerationContext:
    """Read what generation needs.

    What an earlier attempt has saved is left out, so that the same is asked again, and answered
    from the response cache.

    Args:
        store: The open project.
        task: The task.
        settings: What to generate: the spec, the run config, examples, guidance and the seed.
        model: What a new run config asks.
        ids: The id of each item that is to be made.

    Raises:
        RecordNotFound: There is no such run config or spec.
        Refusal: The run config does not run here.
    """
    runs = await store.children(task, TaskRun)
    configs = await store.children(task, TaskRunConfig)
    config = choose_run_config(store.project, task, configs, settings.run_config, model)
    prompts = await store.children(task, Prompt)
    spec = None if settings.spec is None else await store.find(Spec, settings.spec, parent=task)
    guides = [guide.guide for guide in await store.children(task, DataGuide)]
    schema: JsonValue = json.loads(task.input_json_schema) if task.input_json_schema else None
    saved = frozenset(ids) & {run.id for run in runs}
    existing = tuple(run for run in data_set(runs) if run.id not in saved)
    guidance = [settings.guidance or "", *guides]
    seed = settings.seed or 0
    brief = Brief(
        instruction=task.instruction,
        spec_text="" if spec is None else spec.definition,
        guidance="\n\n".join(text for text in guidance if text.strip()),
        examples=tuple(dict.fromkeys(settings.examples or [run.user_turns[0] for run in existing])),
        input_schema=schema,
        seed=seed,
    )
    return GenerationContext(
        store=store,
        task=task,
        existing=existing,
        config=config,
        resolved_config=resolve(task, config, prompts, await runs_to_show(store, task), seed),
        brief=brief,
        spec=spec,
        clauses=[] if spec is None else await _clauses(store, spec),
        ids=tuple(ids),
        saved=saved,
    )


async def _clauses(store: ProjectStore, spec: Spec) -> list[PlanClause]:
    content = await clauses_of(store, spec)
    return [PlanClause(id=clause.id, text=clause.text) for clause in content.clauses]


def settings_of(plan: DataPlan) -> PlanSettings:
    """Return what opening the project for a plan needs."""
    return PlanSettings(
        run_config=plan.run_config,
        spec=plan.spec,
        guidance=plan.guidance,
        examples=plan.examples or None,
        seed=plan.seed,
    )


def new_plan(context: GenerationContext, settings: PlanSettings, plan_id: str) -> DataPlan:
    """Return the plan of a call, without the topics and personas that a model is to name.

    Raises:
        Refusal: The embedded model has too few examples, or inputs are JSON.
    """
    writer = settings.writer or EMBEDDED
    count = settings.count or USUAL_COUNT
    own_clauses = context.clauses if settings.clauses is None else settings.clauses
    quotas = settings.quotas or quotas_for(own_clauses, count)
    if settings.pairs and (not own_clauses or settings.inputs):
        raise _no_clauses()
    outputs = settings.outputs or "task"
    labels = settings.labels
    if labels is None and outputs == "reference":
        labels = classes_of(context.resolved_config.schema)
    if writer == EMBEDDED and not settings.inputs:
        _check_list(context.brief)
        # A model that follows no instructions cannot aim.
        own_clauses, quotas = [], [Quota(aim=Aim.ANY, count=sum(q.count for q in quotas))]
    return DataPlan(
        id=plan_id,
        topics=settings.topics or [],
        clauses=own_clauses,
        quotas=quotas,
        personas=settings.personas if isinstance(settings.personas, list) else [],
        labels=labels or [],
        inputs=settings.inputs or [],
        examples=settings.examples or [],
        guidance=settings.guidance or "",
        spec=None if context.spec is None else context.spec.id,
        seed=settings.seed or 0,
        run_config=settings.run_config,
        writer=writer,
        outputs=outputs,
        reference_model=settings.reference_model or "",
        checkers=settings.checkers or [],
        pairs=settings.pairs or False,
        turns=settings.turns or 0,
        user_model=settings.user_model or "",
        stop_after_inputs=settings.stop_after_inputs or False,
    )


def classes_of(schema: Mapping[str, JsonValue] | None) -> list[str]:
    """Return the values of the one field of an output that has fixed ones; else none."""
    properties = (schema or {}).get("properties")
    fields = list(properties.values()) if isinstance(properties, dict) else []
    enums = [field.get("enum") for field in fields if isinstance(field, dict)]
    lists = [values for values in enums if isinstance(values, list)]
    if len(lists) != 1 or not 2 <= len(lists[0]) <= _MOST_CLASSES:
        return []
    return [value for value in lists[0] if isinstance(value, str)]


def _check_list(brief: Brief) -> None:
    """Refuse what the embedded model cannot make inputs of.

    Raises:
        Refusal: It has too few examples, or inputs are JSON.
    """
    if len(brief.examples) < EXAMPLES_SHOWN or brief.input_schema is not None:
        raise Refusal(
            "The embedded model makes inputs by going on with a list of {least} or more, and "
            "there are {count}. Give `examples`, write the inputs yourself as `inputs`, or "
            "name a stronger model as `model`.",
            least=EXAMPLES_SHOWN,
            count=len(brief.examples),
        )


def _no_clauses() -> Refusal:
    return Refusal(
        "Minimal pairs break one clause of a spec each, for inputs that the plan makes. Name the "
        "`spec`, or give the plan `clauses` with id and text, and no `inputs`.",
        next=[NextStep(tool="build_spec", reason="write the spec first, from a `wish`")],
    )
