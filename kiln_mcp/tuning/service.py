"""Capabilities: export runs, training data or a project; train a model."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.exchange.exports import (
    ExportReport,
    ProjectExported,
    propose_project_export,
    propose_run_export,
)
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.projects.runs.pages import Filter
from kiln_mcp.run_configs.task_runs import output_schema
from kiln_mcp.tuning.answers import TrainedModel, TrainingCheck, TrainingFiles
from kiln_mcp.tuning.export import Recipe, check_recipe
from kiln_mcp.tuning.formats import ExportFormat, Thinking
from kiln_mcp.tuning.training_arguments import (
    DespiteFaults,
    LearntPrompt,
    LearntReasoning,
    LearntSplit,
    TrainingProvider,
)
from kiln_mcp.tuning.training_checks import plan_training, report_check
from kiln_mcp.tuning.training_drafts import TrainingWish, draft_training, read_instructions
from kiln_mcp.tuning.training_files import FrozenData, propose_training_files
from kiln_mcp.tuning.trainings import Training, train, with_forecast
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    Toolset,
    capability,
)
from kiln_mcp.workbench.unlisted_values import OneOf
from kiln_mcp.workbench.workspace import Workspace
from storage import DatasetSplit
from storage.errors import InvalidValue, NextStep

ExportKind = Literal["runs", "training_data", "project"]


@capability(
    effect=Effect.WRITES,
    title="Export runs, training data or a project",
    sends_out=True,
    discovery=Discovery(
        Heading.TUNING,
        "write out, dump, extract, backup, archive, zip, send, hand over, share, transfer, CSV, "
        "Excel, spreadsheet, JSON, JSONL, Parquet, all results, outputs, everything, fine-tuning, "
        "fine-tune, finetune, train a small model, training set, SFT, OpenAI format, chat format, "
        "Hugging Face, pandas, colleague, migrate, offline copy, save to disk, file for my boss, "
        "report file, in a spreadsheet, Google Sheets, get the data out, take out, copy of, all "
        "examples, dataset file, train our own, distil, distill, distillation, LoRA, Unsloth, "
        "Fireworks, Together, upload elsewhere, zip the project, move to another computer, "
        "snapshot, safe copy, document, publish, get me, ratings as csv, pack, prepare a dataset",
        alternatives=("file",),
    ),
)
async def export(
    workspace: Workspace,
    project: ProjectReference,
    kind: Annotated[
        ExportKind,
        Field(description="A table of runs, JSONL for fine-tuning, or a zip of the project."),
    ] = "runs",
    file: Annotated[
        str | None,
        Field(
            description="New .jsonl, .csv or .parquet file; .zip of a project; a folder for "
            "training data."
        ),
    ] = None,
    task: TaskReference = None,
    filter: Filter = "all",
    split: Annotated[str | None, Field(description="Training data: its frozen split.")] = None,
    format: Annotated[
        Annotated[ExportFormat, OneOf(tuple(ExportFormat))],
        Field(description="Training data: openai_chat_jsonl, vertex_gemini, huggingface_… …"),
    ] = ExportFormat.OPENAI_CHAT,
    parts: Annotated[
        list[str] | None,
        Field(description="Training data; left out: all but test and golden."),
    ] = None,
    run_config: Annotated[
        str | None,
        Field(description="Training data: whose prompt; left out: the task's."),
    ] = None,
    thinking: Annotated[
        Thinking, Field(description="Training data: the reasoning.")
    ] = Thinking.FINAL_ONLY,
) -> Proposal[ExportReport | TrainingFiles | ProjectExported]:
    """Export to a file: download runs as a table, save training data, back up a whole project.

    Training data leaves out what evals measure on, and takes corrected outputs.
    """
    store = await workspace.open_project(project)
    if kind == "project":
        return propose_project_export(workspace, store, workspace.place(_required(file, kind)))
    owner = await task_of(store, task)
    if kind == "runs":
        place = workspace.place(_required(file, kind))
        return propose_run_export(workspace, store, owner, filter, place)
    if split is None:
        names = [record.name for record in await store.children(owner, DatasetSplit)]
        raise InvalidValue(
            "Nothing was exported: training data needs a frozen split as `split`. There are: "
            "{names}.",
            names=names or ["none yet"],
            next=[NextStep(tool="split_data", reason="freeze one with `freeze`")],
        )
    frozen = await store.find(DatasetSplit, split, parent=owner)
    instructions = await read_instructions(store, owner, run_config)
    recipe = Recipe(format, thinking, instructions, output_schema(owner))
    check_recipe(owner, recipe)
    data = FrozenData(store, owner, frozen)
    return await propose_training_files(workspace, data, parts, recipe, file)


@capability(
    effect=Effect.SPENDS,
    title="Train a model",
    runs=Runs.AS_JOB,
    sends_out=True,
    discovery=Discovery(
        Heading.TUNING,
        "fine-tune, fine-tuning, finetune, tune, tuning, train, training, teach, LoRA, adapter, "
        "SFT, supervised, own model, custom model, small model, cheaper model, distil, "
        "distillation, OpenAI, Fireworks, Together, Vertex, Gemini, hosted, epochs, learning rate, "
        "local, on my machine, GPU, CPU, Hugging Face, PEFT, QLoRA, dry run, how long, memory",
        toolset=Toolset.ADMIN,
    ),
)
async def train_model(
    workspace: Workspace,
    project: ProjectReference,
    split: LearntSplit,
    provider: TrainingProvider,
    base_model: Annotated[
        str,
        Field(
            min_length=1,
            description="As the provider names it; `local`: embedded, or a Hugging Face folder.",
        ),
    ],
    task: TaskReference = None,
    name: Annotated[str | None, Field(description="Of what comes out.")] = None,
    run_config: LearntPrompt = None,
    thinking: LearntReasoning = Thinking.FINAL_ONLY,
    parameters: Annotated[
        dict[str, str | float] | None,
        Field(description="epochs, learning_rate … An error names all that the provider takes."),
    ] = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    despite_faults: DespiteFaults = False,
    only_check: Annotated[
        bool, Field(description="Say tokens, memory, time and faults; train nothing.")
    ] = False,
) -> Proposal[TrainedModel | TrainingCheck]:
    """Train a model on a frozen split (fine-tuning), hosted or here, and save how to run it.

    The data is checked first. The part `train` is learnt, `val` validates, and what evals measure
    on stays out. A stopped call goes on where it was; a cancelled one cancels the training.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    frozen = await store.find(DatasetSplit, split, parent=owner)
    wish = TrainingWish(
        provider,
        base_model,
        name,
        run_config,
        thinking,
        parameters,
        seed,
        despite_faults,
    )
    training = await draft_training(workspace, FrozenData(store, owner, frozen), wish)
    if only_check:
        look = Plan(f"Look at a training of {base_model}.", is_long=training.provider.is_local)
        return Proposal(look, partial(_check, training, wish))
    return Proposal(plan_training(training), partial(train, training))


async def _check(training: Training, wish: TrainingWish) -> TrainingCheck:
    return report_check(await with_forecast(training), wish.arguments)


def _required(file: str | None, kind: ExportKind) -> str:
    if file is None:
        raise InvalidValue(
            "Nothing was exported: `{kind}` needs the path of a new file as `file`.", kind=kind
        )
    return file
