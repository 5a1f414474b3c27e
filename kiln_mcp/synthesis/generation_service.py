"""Capability: plan synthetic data, look at the plan, and carry it out."""

from typing import Annotated

from pydantic import Field, JsonValue

from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.data_generation import DataGeneration
from kiln_mcp.synthesis.new_items import TextOrObject
from kiln_mcp.synthesis.plan_settings import read_settings
from kiln_mcp.synthesis.plan_store import find_plan
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import InvalidValue

NEW = "new"
"""The plan that is made of a call's other arguments."""


@capability(
    effect=Effect.SPENDS,
    title="Generate data",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.DATA,
        "generate, create, invent, come up with, produce, synthesise, synthesize, fake, "
        "artificial, sample, more examples, questions, corner cases, tricky, rare, hard, "
        "difficult, adversarial, attacks, break it, jailbreak, red team, variety, varied, "
        "diverse, coverage, lack examples, not enough data, no data, personas, think of, think "
        "up, hundred, fifty, dozens, users could ask, user might say, imagine, simulate, small, "
        "too small, too few, only a few, cover, cases, Spanish, other languages, typos, long "
        "inputs, realistic, unusual, expand, augment, bigger dataset, write examples, test set, "
        "out of thin air, nasty, inputs, real users would ask, test cases, test data, synthetic "
        "data, topic tree, right answers, reference answers, minimal pairs, failing examples, "
        "from documents, anonymised, rewrite traces, simulated users, data plan",
    ),
)
async def generate_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    count: Annotated[int, Field(ge=1, le=1000)] = 40,
    topics: Annotated[
        list[str] | None,
        Field(description="Left out: a model names some."),
    ] = None,
    spec: Annotated[str | None, Field(description="Its clauses are covered.")] = None,
    guidance: str = "",
    examples: Annotated[
        list[str] | None,
        Field(description="Real inputs."),
    ] = None,
    inputs: Annotated[
        list[TextOrObject] | None,
        Field(description="Your own; only outputs are made."),
    ] = None,
    plan: Annotated[
        TextOrObject,
        Field(
            description="new: a plan to look at first; its id: carry it out; an object: settings "
            "(personas, documents, outputs, pairs), with id an edit."
        ),
    ] = None,
    run_config: Annotated[
        str | None,
        Field(description="What answers."),
    ] = None,
    model: Annotated[str | None, Field(description="What writes.")] = None,
    seed: int = 0,
) -> Proposal[GeneratedData | DataPlanReport]:
    """Make up test cases: synthetic inputs by topic, edge case and clause, which the task answers.

    Outputs are what the task really gives, unless a plan wants verified references.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    generation = DataGeneration(workspace, store, owner)
    if isinstance(plan, str) and plan != NEW:
        return await generation.carry_out(await find_plan(store, owner, plan))
    if isinstance(plan, list | int | float | bool):
        raise InvalidValue(
            "Nothing was planned: `plan` has to be 'new', the id of a plan, or an object of "
            "settings."
        )
    values: dict[str, JsonValue] = dict(plan) if isinstance(plan, dict) else {}
    if values.get("id") is not None:
        settings = read_settings(values)
        earlier = await find_plan(store, owner, str(settings.id))
        return await generation.edit(earlier, settings)
    call: dict[str, JsonValue] = {
        "count": count,
        "spec": spec,
        "guidance": guidance,
        "run_config": run_config,
        "writer": workspace.model_name(model),
        "seed": seed,
    }
    lists = {"topics": topics, "examples": examples, "inputs": inputs}
    call |= {name: [*value] for name, value in lists.items() if value is not None}
    settings = read_settings(values, call)
    if plan is not None:
        return await generation.draft(settings)
    return await generation.run_at_once(settings)
