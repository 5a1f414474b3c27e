"""Capabilities: freeze a split, export it for fine-tuning."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import anyio
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.held_out import is_measured_filter, runs_to_show
from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.parts import HELD_OUT, part_tags, splits_with, tag_of
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.projects.exchange.destinations import first_outside
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, handle_of, task_of
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
from kiln_mcp.workbench.capability import Effect, Proposal, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    DatasetSplit,
    Eval,
    ProjectStore,
    Prompt,
    SplitDefinition,
    Task,
    TaskRun,
    task_run_filter,
)
from storage.border import check_target
from storage.commits.side_files import check_side_name
from storage.errors import NextStep, Refusal


class FrozenPart(Result):
    """One part of a frozen split."""

    part: str
    items: int


class SplitFrozen(Result):
    """A split, frozen: later changes of tags do not change it."""

    frozen_split: str
    id: str
    handle: str = Field(description="What names it in calls, such as `dataset-split/july`.")
    parts: list[FrozenPart]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


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
    format: ExportFormat
    files: list[ExportedFile]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


@capability(
    effect=Effect.WRITES,
    title="Freeze a split",
    search_hint="pin or lock the dataset version, snapshot for fine-tuning or a release",
)
async def freeze_split(
    workspace: Workspace,
    project: ProjectReference,
    split: Annotated[str, Field(description="The name that split_data was given.")],
    task: TaskReference = None,
    name: Annotated[str | None, Field(description="What to call the frozen split.")] = None,
    items: Annotated[
        str, Field(description="Which of its items: `all`, `high_rating`, `tag::<tag>` …")
    ] = "all",
) -> SplitFrozen:
    """Freeze which items are in which part, as a record that fine-tunes can name for good.

    Then call export_training_data.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    ending = tag_of(split)
    runs = data_set(await store.children(owner, TaskRun))
    fits = task_run_filter(items)
    contents = {
        part: tuple(run.id for run in runs if tag in run.tags and fits(run))
        for part, tag in part_tags(ending).items()
    }
    contents = {part: ids for part, ids in contents.items() if ids}
    total = sum(map(len, contents.values()))
    if not total:
        raise Refusal(
            "No item is dealt into the split '{split}'. Splits that are dealt: {names}.",
            split=split,
            names=_split_names(runs) or ["none yet"],
            next=[NextStep(tool="split_data", reason="deal the items first")],
        )
    record = DatasetSplit(
        name=name or f"{split} data",
        splits=tuple(
            SplitDefinition(name=part, percentage=len(ids) / total)
            for part, ids in contents.items()
        ),
        split_contents=contents,
        filter=items,
    )
    saved = await store.save(record, parent=owner)
    return SplitFrozen(
        frozen_split=saved.name,
        id=saved.id,
        handle=await handle_of(store, saved),
        parts=[FrozenPart(part=part, items=len(ids)) for part, ids in contents.items()],
        next=[
            NextStep(
                tool="export_training_data",
                reason="write it for a fine-tuning service or library",
                arguments={"project": project, "frozen_split": saved.name},
            )
        ],
    )


@capability(
    effect=Effect.WRITES,
    title="Export training data",
    sends_out=True,
    search_hint="fine-tune, download JSONL for OpenAI, training file, SFT, train a small model",
)
async def export_training_data(
    workspace: Workspace,
    project: ProjectReference,
    frozen_split: Annotated[str, Field(description="The frozen split's name or id.")],
    format: Annotated[ExportFormat, Field(description="How a line of the file looks.")],
    task: TaskReference = None,
    parts: Annotated[
        list[str] | None,
        Field(
            description="Left out: all but test and golden, which are exported only when named "
            "here, because what is learnt from them cannot be measured on them."
        ),
    ] = None,
    run_config: Annotated[
        str | None,
        Field(description="Whose prompt becomes the system message; left out: the task's own."),
    ] = None,
    thinking: Annotated[
        Thinking, Field(description="What becomes of the reasoning.")
    ] = Thinking.FINAL_ONLY,
    folder: Annotated[
        str | None, Field(description="Where to write; left out: beside the frozen split.")
    ] = None,
) -> Proposal[TrainingFiles]:
    """Write a frozen split as JSONL files for fine-tuning, one for each part.

    Items that an eval measures on are left out of every part that is not named for it, whatever
    the frozen split says. Repaired outputs take the place of those that they repair.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    frozen = await store.find(DatasetSplit, frozen_split, parent=owner)
    chosen_parts = _choose_parts(frozen, parts)
    instructions = await _instructions(store, owner, run_config)
    recipe = Recipe(format, thinking, instructions, output_schema(owner))
    check_recipe(owner, recipe)
    part_files = await _part_files(store, owner, frozen, chosen_parts, recipe)
    texts = {file.name: lines_of_file(file.lines.lines) for file in part_files}
    place = workspace.place(folder) if folder else None
    target = place or store.side_folder(frozen)
    files = [] if place is None else [place / name for name in texts]
    plan = Plan(f"Export {', '.join(chosen_parts)} of {frozen.name!r} as training data.")
    plan = await anyio.to_thread.run_sync(_with_files, plan, workspace, store, files)

    async def write_files() -> TrainingFiles:
        await _write_files(store, frozen, place, texts)
        return TrainingFiles(
            frozen_split=frozen.name,
            format=format,
            files=[file.report(target) for file in part_files],
            next=[
                NextStep(
                    tool="run_eval",
                    reason="train with the train file, then measure the model on test",
                    arguments={"project": project},
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


def _split_names(runs: Sequence[TaskRun]) -> list[str]:
    return splits_with("train", [tag for run in runs for tag in run.tags])
