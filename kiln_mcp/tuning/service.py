"""Capability: export runs, training data or a project."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import anyio
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.held_out import is_measured_filter, runs_to_show
from kiln_mcp.datasets.parts import HELD_OUT
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.projects.exchange.destinations import first_outside
from kiln_mcp.projects.exchange.exports import (
    ExportReport,
    ProjectExported,
    propose_project_export,
    propose_run_export,
)
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.projects.runs.pages import Filter
from kiln_mcp.run_configs.system_prompts import DEFAULT_THINKING, instruction_prompt, prompt_text
from kiln_mcp.run_configs.task_runs import output_schema
from kiln_mcp.tuning.export import (
    PartLines,
    Recipe,
    check_recipe,
    lines_of,
    lines_of_file,
    nothing_measured,
    write_file,
)
from kiln_mcp.tuning.formats import ExportFormat, Instructions, Thinking
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Result,
    capability,
)
from kiln_mcp.workbench.unlisted_values import OneOf
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    DatasetSplit,
    Eval,
    ProjectStore,
    Prompt,
    Task,
    TaskRun,
)
from storage.border import check_target
from storage.commits.side_files import check_side_name
from storage.errors import InvalidValue, NextStep, Refusal


class ExportedFile(Result):
    """One file of training examples."""

    part: str
    file: str
    examples: int
    held_out_items: int = Field(description="Items that an eval measures on, left out.")
    without_thinking: int = Field(description="Items without reasoning, left out.")
    unreviewed_examples: int = Field(
        description="Examples whose output a run config gave and nobody rated or repaired: what is "
        "learnt from them includes its mistakes."
    )
    unusable_items: int = Field(
        description="Items whose answer was truncated, refused or empty, left out."
    )
    deleted_items: int = Field(description="Items of the frozen split that were deleted since.")


class TrainingFiles(Result):
    """Training data on disk."""

    frozen_split: str
    files: list[ExportedFile]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


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
    split: Annotated[str | None, Field(description="Training data: of which frozen split.")] = None,
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
    chosen_parts = _choose_parts(frozen, parts)
    part_files = await _part_files(store, owner, frozen, chosen_parts, recipe)
    return await _propose_files(workspace, store, frozen, part_files, file)


def _required(file: str | None, kind: ExportKind) -> str:
    if file is None:
        raise InvalidValue(
            "Nothing was exported: `{kind}` needs the path of a new file as `file`.", kind=kind
        )
    return file


async def _propose_files(
    workspace: Workspace,
    store: ProjectStore,
    frozen: DatasetSplit,
    part_files: Sequence["PartFile"],
    folder: str | None,
) -> Proposal[TrainingFiles]:
    """Propose to write training data, one file for each part."""
    texts = {file.name: lines_of_file(file.lines.lines) for file in part_files}
    place = workspace.place(folder) if folder else None
    target = place or store.side_folder(frozen)
    files = [] if place is None else [place / name for name in texts]
    parts = ", ".join(file.part for file in part_files)
    plan = Plan(f"Export {parts} of {frozen.name!r} as training data.")
    plan = await anyio.to_thread.run_sync(_with_files, plan, workspace, store, files)

    async def write_files() -> TrainingFiles:
        await _write_files(store, frozen, place, texts)
        return TrainingFiles(
            frozen_split=frozen.name,
            files=[file.report(target) for file in part_files],
            next=[
                NextStep(
                    tool="run_eval",
                    reason="train with the train file, then measure the model on test",
                    arguments={"project": str(store.folder)},
                )
            ],
        )

    return Proposal(plan, write_files)


@dataclass(frozen=True, slots=True)
class PartFile:
    """The file of one part, before it is written."""

    part: str
    name: str
    lines: PartLines
    deleted_items: int

    def report(self, folder: Path) -> ExportedFile:
        """Return what a person reads of the file once it lies in a folder."""
        return ExportedFile(
            part=self.part,
            file=str(folder / self.name),
            examples=len(self.lines.lines),
            held_out_items=self.lines.held_out_items,
            without_thinking=self.lines.without_thinking,
            unreviewed_examples=self.lines.unreviewed_examples,
            unusable_items=self.lines.unusable_items,
            deleted_items=self.deleted_items,
        )


def _choose_parts(frozen: DatasetSplit, parts: Sequence[str] | None) -> list[str]:
    """Return the named parts, each once; without names, all that are not held out.

    Raises:
        Refusal: The split has no part of a name.
    """
    names = list(frozen.split_contents)
    for part in parts or ():
        if part not in frozen.split_contents:
            raise Refusal(
                "The split has no part '{part}'. Choose from: {parts}.", part=part, parts=names
            )
    return list(dict.fromkeys(parts or (part for part in names if part not in HELD_OUT)))


async def _part_files(
    store: ProjectStore, task: Task, frozen: DatasetSplit, parts: Sequence[str], recipe: Recipe
) -> list[PartFile]:
    """Return the file of each part, from the runs that still exist."""
    runs = {run.id: run for run in await store.children(task, TaskRun)}
    is_measured = is_measured_filter(await store.children(task, Eval))
    files: list[PartFile] = []
    for part in parts:
        ids = frozen.split_contents[part]
        existing = [runs[run_id] for run_id in ids if run_id in runs]
        lines = _lines(part, existing, recipe, is_measured)
        name = f"{part}.{recipe.shape.removesuffix('_jsonl')}.jsonl"
        files.append(PartFile(part, name, lines, len(ids) - len(existing)))
    return files


def _with_files(
    plan: Plan, workspace: Workspace, store: ProjectStore, files: Sequence[Path]
) -> Plan:
    """Return a plan that says where files go and which of them it replaces, without history.

    Raises:
        UnsafePath: A file would lie in git's own folder.
    """
    for file in files:
        check_target(file)
    existing = [str(file) for file in files if os.path.lexists(file)]
    replacement = f" It replaces {', '.join(existing)}." if existing else ""
    return replace(
        plan,
        summary=f"{plan.summary}{replacement}",
        irreversible=bool(existing),
        destination=first_outside(workspace, store, files),
    )


async def _write_files(
    store: ProjectStore, frozen: DatasetSplit, place: Path | None, texts: Mapping[str, bytes]
) -> None:
    """Write files into a folder of the person's, or beside the frozen split."""
    if place is not None:
        for name, text in texts.items():
            check_side_name(frozen.saved.path, name)
            await anyio.to_thread.run_sync(write_file, place / name, text)
        return
    async with store.transaction() as change:
        for name, text in texts.items():
            change.write_side_file(frozen, name, text)


def _lines(
    part: str, runs: Sequence[TaskRun], recipe: Recipe, is_measured: Callable[[TaskRun], bool]
) -> PartLines:
    """Return a part's lines; a held-out part was asked for by name, so nothing is held back."""
    is_excluded = nothing_measured if part in HELD_OUT else is_measured
    part_lines = lines_of(runs, recipe, is_excluded)
    if not part_lines.lines:
        raise Refusal(
            "Nothing of the part '{part}' can be exported: {held_out} items are measured on by "
            "evals, {unreasoned} have no reasoning, the answer of {unusable} is not complete, "
            "{total} are there in all. Add items to that part, or choose a format without "
            "reasoning.",
            part=part,
            held_out=part_lines.held_out_items,
            unreasoned=part_lines.without_thinking,
            unusable=part_lines.unusable_items,
            total=len(runs),
            next=[NextStep(tool="add_data", reason="add items with outputs to that part")],
        )
    return part_lines


async def _instructions(store: ProjectStore, task: Task, reference: str | None) -> Instructions:
    """Return the prompt to train with: a run config's, or the task's own."""
    thinking = task.thinking_instruction or DEFAULT_THINKING
    if reference is None:
        return Instructions(instruction_prompt(task), thinking)
    (config,) = await find_run_configs(store, task, [reference])
    prompts = await store.children(task, Prompt)
    text = prompt_text(task, config, prompts, await runs_to_show(store, task))
    return Instructions(text.prompt, text.thinking or thinking)
