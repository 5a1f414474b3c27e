"""Capability: distil a stronger model's verified outputs into a model of one's own."""

from functools import partial
from typing import Annotated

from pydantic import Field

from kiln_mcp.evals.lookups import find_eval
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.tuning.answers import DistilledModel
from kiln_mcp.tuning.distillation import carry_out_distillation, plan_distillation
from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.training_arguments import (
    DespiteFaults,
    LearntPrompt,
    LearntReasoning,
    TrainingProvider,
)
from kiln_mcp.tuning.training_drafts import TrainingWish
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
from storage import ProjectStore, Spec
from storage.errors import InvalidValue, NextStep


@capability(
    effect=Effect.SPENDS,
    title="Distil a model",
    runs=Runs.AS_JOB,
    sends_out=True,
    discovery=Discovery(
        Heading.TUNING,
        "distil, distill, distillation, teacher, student, stronger model, big model to small "
        "model, learn from GPT, imitate, synthetic outputs, verified outputs, rejection "
        "sampling, from a spec to a model, cheaper model as good",
        toolset=Toolset.ADMIN,
        alternatives=("spec", "eval"),
    ),
)
async def distil_model(
    workspace: Workspace,
    project: ProjectReference,
    teacher: Annotated[str, Field(description="The run config whose outputs are learnt.")],
    provider: TrainingProvider,
    base_model: Annotated[str, Field(min_length=1, description="As in train_model.")],
    spec: Annotated[str | None, Field(description="Whose eval verifies the outputs.")] = None,
    eval: Annotated[str | None, Field(description="Or the eval itself.")] = None,
    evaluators: Annotated[list[str] | None, Field(description="Left out: the current one.")] = None,
    name: Annotated[str | None, Field(description="Of what comes out.")] = None,
    run_config: LearntPrompt = None,
    thinking: LearntReasoning = Thinking.FINAL_ONLY,
    parameters: Annotated[
        dict[str, str | float] | None, Field(description="As in train_model.")
    ] = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    despite_faults: DespiteFaults = False,
) -> Proposal[DistilledModel]:
    """Distil a stronger run config into a model: its outputs are verified, then learnt.

    The teacher answers the items of the eval's parts train and val. Only outputs that every
    evaluator passes, and no right answer of an item contradicts, are learnt. One job, from the
    spec to the trained model, with its plan first.
    """
    store = await workspace.open_project(project)
    task_eval = await find_eval(store, eval or await _eval_of(store, spec))
    wish = TrainingWish(
        provider,
        base_model,
        name,
        run_config,
        thinking,
        parameters,
        seed,
        despite_faults,
        label="distilled",
    )
    distillation, plan = await plan_distillation(
        workspace, store, task_eval, evaluators or (), teacher, wish
    )
    return Proposal(plan, partial(carry_out_distillation, distillation))


async def _eval_of(store: ProjectStore, spec: str | None) -> str:
    """Return the eval that measures a spec.

    Raises:
        InvalidValue: No spec is named, or nothing measures it.
    """
    if spec is None:
        raise InvalidValue("Nothing was asked: name a `spec`, or the `eval` that verifies outputs.")
    record = await store.find(Spec, spec)
    if not record.eval_id:
        raise InvalidValue(
            "Nothing was asked: no eval measures the spec '{spec}' yet.",
            spec=record.name,
            next=[NextStep(tool="create_evaluator", reason="set up its judge")],
        )
    return record.eval_id
