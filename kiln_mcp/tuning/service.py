"""Capabilities: export runs, training data or a project; train a model."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.projects.exchange.exports import (
    ExportReport,
    ProjectExported,
    propose_project_export,
    propose_run_export,
)
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.projects.runs.pages import Filter
from kiln_mcp.run_configs.system_prompts import (
    DEFAULT_THINKING,
    instruction_prompt,
    prompt_text,
    split_examples,
)
from kiln_mcp.run_configs.task_runs import output_schema
from kiln_mcp.tuning.answers import TrainedModel, TrainingCheck, TrainingFiles
from kiln_mcp.tuning.export import Recipe, check_recipe, lines_of_file
from kiln_mcp.tuning.formats import ExportFormat, Instructions, Thinking
from kiln_mcp.tuning.providers.provider import Draft, check_parameters
from kiln_mcp.tuning.providers.registry import ProviderName, open_provider
from kiln_mcp.tuning.training_checks import (
    check_training_data,
    choose_shape,
    parts_to_learn,
    plan_training,
    report_check,
)
from kiln_mcp.tuning.training_files import (
    FrozenData,
    propose_training_files,
    read_training_data,
)
from kiln_mcp.tuning.trainings import Training, train
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
from storage import DatasetSplit, ProjectStore, Prompt, Task
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
    instructions = await _instructions(store, owner, run_config)
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
    split: Annotated[str, Field(description="The frozen split to learn from.")],
    provider: Annotated[ProviderName, Field(description="Who trains.")],
    base_model: Annotated[
        str,
        Field(
            min_length=1,
            description="As the provider names it; `local`: embedded, or a Hugging Face folder.",
        ),
    ],
    task: TaskReference = None,
    name: Annotated[str | None, Field(description="Of what comes out.")] = None,
    run_config: Annotated[
        str | None,
        Field(description="Whose prompt it learns and runs with; left out: the task's."),
    ] = None,
    thinking: Annotated[Thinking, Field(description="The reasoning.")] = Thinking.FINAL_ONLY,
    parameters: Annotated[
        dict[str, str | float] | None,
        Field(description="epochs, learning_rate … An error names all that the provider takes."),
    ] = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    despite_faults: Annotated[
        bool, Field(description="Train though items leak, or are empty.")
    ] = False,
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
    service = open_provider(provider, workspace.settings.engine)
    settings = check_parameters(service.hyperparameters, parameters or {})
    schema = output_schema(owner)
    recipe = Recipe(
        choose_shape(service.shapes, schema, thinking),
        thinking,
        await _instructions(store, owner, run_config),
        schema,
    )
    check_recipe(owner, recipe)
    data = FrozenData(store, owner, frozen)
    training_data = await read_training_data(data, parts_to_learn(frozen), recipe)
    check_training_data(training_data, service, despite_faults=despite_faults)
    train_text = lines_of_file(training_data.files[0].lines.lines)
    forecast = await service.check(Draft(base_model, train_text, settings, seed))
    training = Training(
        workspace,
        data,
        training_data,
        recipe,
        provider,
        service,
        base_model,
        name or f"{base_model.rpartition('/')[2]} on {frozen.name}",
        settings,
        seed,
        forecast,
    )
    if only_check:
        return Proposal(Plan(f"Look at a training of {base_model}."), partial(_check, training))
    return Proposal(plan_training(training), partial(train, training))


async def _check(training: Training) -> TrainingCheck:
    return report_check(training)


def _required(file: str | None, kind: ExportKind) -> str:
    if file is None:
        raise InvalidValue(
            "Nothing was exported: `{kind}` needs the path of a new file as `file`.", kind=kind
        )
    return file


async def _instructions(store: ProjectStore, task: Task, reference: str | None) -> Instructions:
    """Return the prompt to train with: a run config's, or the task's own."""
    thinking = task.thinking_instruction or DEFAULT_THINKING
    if reference is None:
        return Instructions(instruction_prompt(task), thinking)
    (config,) = await find_run_configs(store, task, [reference])
    prompts = await store.children(task, Prompt)
    text = prompt_text(task, config, prompts, await runs_to_show(store, task))
    system, examples = split_examples(text.prompt)
    return Instructions(system, text.thinking or thinking, examples)
