"""Propose to write training data: a file for each part of a frozen split, checked first."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.held_out import is_measured_filter
from kiln_mcp.datasets.parts import HELD_OUT
from kiln_mcp.projects.exchange.destinations import first_outside
from kiln_mcp.tuning.answers import MOST_FAULTS, ExportedFile, TrainingFault, TrainingFiles
from kiln_mcp.tuning.data_check import (
    DataExample,
    DataFault,
    DataFaultKind,
    HeldOutItem,
    check_data,
)
from kiln_mcp.tuning.export import (
    PartLines,
    Recipe,
    lines_of,
    lines_of_file,
    nothing_measured,
    write_file,
)
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import DatasetSplit, Eval, ProjectStore, Task, TaskRun
from storage.border import check_target
from storage.commits.side_files import check_side_name
from storage.errors import NextStep, Refusal


@dataclass(frozen=True, slots=True)
class FrozenData:
    """A frozen split, its task and their store."""

    store: ProjectStore
    task: Task
    split: DatasetSplit


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
            shown_items=self.lines.shown_items,
            deleted_items=self.deleted_items,
        )

    def examples(self) -> list[DataExample]:
        """Return its lines as the check of training data reads them."""
        pairs = zip(self.lines.lines, self.lines.runs, strict=True)
        return [
            DataExample(
                part=self.part,
                line=number,
                run=run.id,
                input=run.input,
                answer=run.best_output,
                characters=len(line),
                has_tool_calls=any(
                    (message.model_extra or {}).get("tool_calls") for message in run.trace or ()
                ),
            )
            for number, (line, run) in enumerate(pairs, 1)
        ]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The files of training data before they are written, and what is wrong with them."""

    files: Sequence[PartFile]
    faults: Sequence[DataFault]

    @property
    def texts(self) -> dict[str, bytes]:
        """The content of each file, by its name."""
        return {file.name: lines_of_file(file.lines.lines) for file in self.files}

    @property
    def tokens(self) -> int:
        """About how many tokens all examples have."""
        return sum(example.tokens for file in self.files for example in file.examples())

    @property
    def warning(self) -> str:
        """The sentence on its faults for a plan; "" without any."""
        if not self.faults:
            return ""
        counts = self.fault_counts.items()
        kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts)
        worst = self.faults[0]
        return f" The check of the data finds: {kinds}. The worst: {worst.reason}."

    @property
    def fault_counts(self) -> dict[DataFaultKind, int]:
        """How many faults it has of each kind."""
        return dict(Counter(fault.kind for fault in self.faults))

    @property
    def shown_faults(self) -> list[TrainingFault]:
        """The gravest faults as they are read."""
        return [TrainingFault.of(fault) for fault in self.faults[:MOST_FAULTS]]


async def read_training_data(
    data: FrozenData, parts: Sequence[str] | None, recipe: Recipe
) -> TrainingData:
    """Return the files of some parts, checked.

    Args:
        data: What is learnt from.
        parts: The parts; None for all that are not held out.
        recipe: How runs become lines.

    Raises:
        Refusal: A part is not there, or nothing of it can be exported.
    """
    runs = await data.store.children(data.task, TaskRun)
    is_measured = is_measured_filter(await data.store.children(data.task, Eval))
    part_names = _choose_parts(data.split, parts)
    files = _part_files(data.split, part_names, runs, recipe, is_measured)
    faults = await anyio.to_thread.run_sync(_faults, files, runs, recipe, is_measured)
    return TrainingData(files, faults)


async def propose_training_files(
    workspace: Workspace,
    data: FrozenData,
    parts: Sequence[str] | None,
    recipe: Recipe,
    folder: str | None,
) -> Proposal[TrainingFiles]:
    """Propose to write training data, one file for each part.

    Args:
        workspace: Of the caller.
        data: What is exported.
        parts: The parts; None for all that are not held out.
        recipe: How runs become lines.
        folder: Where the files go; None for beside the frozen split.

    Raises:
        Refusal: A part is not there, or nothing of it can be exported.
        UnsafePath: A file would lie in git's own folder.
    """
    store, frozen = data.store, data.split
    training_data = await read_training_data(data, parts, recipe)
    place = workspace.place(folder) if folder else None
    targets = [] if place is None else [place / name for name in training_data.texts]
    names = ", ".join(file.part for file in training_data.files)
    summary = f"Export {names} of {frozen.name!r} as training data.{training_data.warning}"
    plan = await anyio.to_thread.run_sync(_with_files, Plan(summary), workspace, store, targets)

    async def write_files() -> TrainingFiles:
        await write_training_files(store, frozen, place, training_data.texts)
        target = place or store.side_folder(frozen)
        return TrainingFiles(
            frozen_split=frozen.name,
            files=[file.report(target) for file in training_data.files],
            tokens=training_data.tokens,
            faults=training_data.shown_faults,
            fault_counts=training_data.fault_counts,
            next=[
                NextStep(
                    tool="run_eval",
                    reason="train with the train file, then measure the model on test",
                    arguments={"project": str(store.folder)},
                )
            ],
        )

    return Proposal(plan, write_files)


def _faults(
    files: Sequence[PartFile],
    runs: Sequence[TaskRun],
    recipe: Recipe,
    is_measured: Callable[[TaskRun], bool],
) -> tuple[DataFault, ...]:
    """Return the faults of what is learnt; held-out parts are compared with it, not checked."""
    examples = [
        example for file in files if file.part not in HELD_OUT for example in file.examples()
    ]
    held_out = [HeldOutItem(run.id, run.input) for run in runs if is_measured(run)]
    return check_data(examples, held_out, recipe.shape)


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


def _part_files(
    frozen: DatasetSplit,
    parts: Sequence[str],
    runs: Sequence[TaskRun],
    recipe: Recipe,
    is_measured: Callable[[TaskRun], bool],
) -> list[PartFile]:
    """Return the file of each part, from the runs that still exist."""
    runs_by_id = {run.id: run for run in runs}
    files: list[PartFile] = []
    for part in parts:
        ids = frozen.split_contents[part]
        existing = [runs_by_id[run_id] for run_id in ids if run_id in runs_by_id]
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


async def write_training_files(
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
