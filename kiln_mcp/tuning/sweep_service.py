"""Capability: train several models, and compare them once."""

from functools import partial
from typing import Annotated

from pydantic import Field

from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.evals.lookups import find_eval
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.sweep_answers import SweepResult
from kiln_mcp.tuning.sweeps import SweepRequest, carry_out_sweep, draft_sweep, plan_sweep
from kiln_mcp.tuning.training_arguments import (
    DespiteFaults,
    LearntReasoning,
    LearntSplit,
    TrainingProvider,
)
from kiln_mcp.tuning.training_drafts import TrainingWish
from kiln_mcp.tuning.training_files import FrozenData
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
from storage import DatasetSplit


@capability(
    effect=Effect.SPENDS,
    title="Train and compare several models",
    runs=Runs.AS_JOB,
    sends_out=True,
    discovery=Discovery(
        Heading.TUNING,
        "sweep, grid search, hyperparameter search, hyperparameters, tune settings, learning "
        "rates, ranks, epochs, several bases, which base, try several, compare tuned models, "
        "best fine-tune, ablation, leaderboard of fine-tunes, tuned with the best prompt",
        toolset=Toolset.ADMIN,
    ),
)
async def sweep_trainings(
    workspace: Workspace,
    project: ProjectReference,
    split: LearntSplit,
    eval: Annotated[str, Field(description="What compares the models.")],
    provider: TrainingProvider,
    base_models: Annotated[list[str], Field(min_length=1, description="As in train_model.")],
    compare: Annotated[
        list[str],
        Field(min_length=1, description="Run configs to compare with, the baseline first."),
    ],
    prompts: Annotated[
        list[str] | None,
        Field(description="Run configs whose prompts are learnt; left out: the task's own."),
    ] = None,
    grid: Annotated[
        dict[str, list[str | float]] | None,
        Field(description="Values to try: learning_rate: [0.001, 0.002], epochs: [3]"),
    ] = None,
    evaluator: Annotated[str | None, Field(description="Left out: the current one.")] = None,
    part: MeasuredPart = "test",
    name: Annotated[str | None, Field(description="How the models' names begin.")] = None,
    thinking: LearntReasoning = Thinking.FINAL_ONLY,
    most_hours: Annotated[
        float, Field(gt=0, description="No training starts later than this.")
    ] = 24.0,
    seed: Annotated[int, Field(ge=0)] = 0,
    despite_faults: DespiteFaults = False,
) -> Proposal[SweepResult]:
    """Train every base with every prompt and parameter (a sweep), and compare all of them once.

    One job with one budget. The plan says which gain the items can show. The comparison's intervals
    hold together, so that the best of many is no luck.
    """
    store = await workspace.open_project(project)
    task_eval = await find_eval(store, eval)
    frozen = await store.find(DatasetSplit, split, parent=task_eval.task)
    sweep = await draft_sweep(
        workspace,
        FrozenData(store, task_eval.task, frozen),
        task_eval,
        SweepRequest(
            base_models, prompts or [None], grid or {}, compare, evaluator, part, most_hours
        ),
        TrainingWish(
            provider,
            base_models[0],
            name,
            thinking=thinking,
            seed=seed,
            despite_faults=despite_faults,
        ),
    )
    return Proposal(await plan_sweep(sweep), partial(carry_out_sweep, sweep))
