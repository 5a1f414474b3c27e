"""Propose to write training data: a file for each part of a frozen split, checked first."""

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.held_out import held_out_paths, is_measured_filter
from kiln_mcp.datasets.parts import HELD_OUT
from kiln_mcp.projects.exchange.destinations import first_outside
from kiln_mcp.tuning.answers import MOST_FAULTS, ExportedFile, TrainingFault, TrainingFiles
from kiln_mcp.tuning.data_check import DataCheck, DataFaultKind, DataFaults, HeldOutItem
from kiln_mcp.tuning.export import PartCounts, PartLines, Recipe
from kiln_mcp.tuning.line_files import LineFile, copy_file
from kiln_mcp.workbench.capability import Proposal
from kiln_mcp.workbench.workspace import Workspace
from storage import DatasetSplit, Eval, ProjectStore, Task, TaskRun
from storage.atomic_write import disk_errors
from storage.border import check_links, check_target
from storage.commits.commit_log import CommitLog
from storage.commits.side_files import side_path
from storage.errors import NextStep, RecordNotFound, Refusal
from storage.index.queries import IndexReader

_PAGE: Final = 500
"""Runs that are read at once."""


@dataclass(frozen=True, slots=True)
class FrozenData:
    """A frozen split, its task and their store."""

    store: ProjectStore
    task: Task
    split: DatasetSplit


@dataclass(frozen=True, slots=True)
class PartFile:
    """The file of one part, before it is written to its place.

    Attributes:
        part: The part's name.
        name: The file's name.
        counts: Its lines, and the items that are left out.
        content: Its lines.
    """

    part: str
    name: str
    counts: PartCounts
    content: LineFile

    def report(self, folder: Path) -> ExportedFile:
        """Return what a person reads of the file once it lies in a folder."""
        counts = self.counts
        return ExportedFile(
            part=self.part,
            file=str(folder / self.name),
            examples=counts.examples,
            held_out_items=counts.held_out_items,
            without_thinking=counts.without_thinking,
            unreviewed_examples=counts.unreviewed_examples,
            unusable_items=counts.unusable_items,
            shown_items=counts.shown_items,
            deleted_items=counts.deleted_items,
        )


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The files of training data before they are written, and what is wrong with them."""

    files: Sequence[PartFile]
    faults: DataFaults

    @property
    def tokens(self) -> int:
        """About how many tokens all examples have."""
        return sum(file.counts.tokens for file in self.files)

    @property
    def warning(self) -> str:
        """The sentence on its faults for a plan; "" without any."""
        if not self.faults.counts:
            return ""
        counts = self.faults.counts.items()
        kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts)
        worst = self.faults.gravest[0]
        return f" The check of the data finds: {kinds}. The worst: {worst.reason}."

    @property
    def fault_counts(self) -> dict[DataFaultKind, int]:
        """How many faults it has of each kind."""
        return dict(self.faults.counts)

    @property
    def shown_faults(self) -> list[TrainingFault]:
        """The gravest faults as they are read."""
        return [TrainingFault.of(fault) for fault in self.faults.gravest[:MOST_FAULTS]]


async def read_training_data(
    data: FrozenData, parts: Sequence[str] | None, recipe: Recipe
) -> TrainingData:
    """Return the files of some parts, checked; runs are read some at a time.

    Held-out parts are compared with what is learnt, and not checked themselves.

    Args:
        data: What is learnt from.
        parts: The parts; None for all that are not held out.
        recipe: How runs become lines.

    Raises:
        Refusal: A part is not there, or nothing of it can be exported.
        WriteError: The disk refused.
    """
    names = _choose_parts(data.split, parts)
    await data.store.refresh()
    is_measured = is_measured_filter(await data.store.children(data.task, Eval))
    held_out = [
        HeldOutItem(run.id, run.input)
        async for runs in _runs_of_files(data, await held_out_paths(data.store, data.task))
        for run in runs
        if is_measured(run)
    ]
    check = DataCheck(held_out, recipe.shape)
    files: list[PartFile] = []
    for part in names:
        is_asked_for = part in HELD_OUT  # by its name, so nothing is held back
        is_excluded = _nothing_measured if is_asked_for else is_measured
        files.append(
            await _part_file(data, part, recipe, is_excluded, None if is_asked_for else check)
        )
    return TrainingData(files, await anyio.to_thread.run_sync(check.result))


async def _part_file(
    data: FrozenData,
    part: str,
    recipe: Recipe,
    is_excluded: Callable[[TaskRun], bool],
    check: DataCheck | None,
) -> PartFile:
    """Return the file of a part, from the runs that still exist.

    Raises:
        Refusal: Nothing of it can be exported.
        WriteError: The disk refused.
    """
    content, ids = LineFile(), data.split.split_contents[part]
    with disk_errors(content.path), content.open() as out:
        lines = PartLines(part, recipe, is_excluded, out)

        def take_in(runs: Sequence[TaskRun]) -> None:
            for run in runs:
                example = lines.add(run)
                if check is not None and example is not None:
                    check.add(example)

        total = 0
        async for runs in _runs_of_ids(data, ids):
            total += len(runs)
            await anyio.to_thread.run_sync(take_in, runs)
    lines.counts.deleted_items = len(ids) - total
    if not lines.counts.examples:
        raise _nothing_to_export(part, lines.counts, total)
    name = f"{part}.{recipe.shape.removesuffix('_jsonl')}.jsonl"
    return PartFile(part, name, lines.counts, content)


async def _runs_of_ids(data: FrozenData, ids: Sequence[str]) -> AsyncGenerator[list[TaskRun]]:
    """Yield the runs with some ids, in their order and a page at a time, less those now gone."""
    kind, below = TaskRun.type_name(), f"{data.task.saved.path.rpartition('/')[0]}/"
    for begin in range(0, len(ids), _PAGE):
        own = ids[begin : begin + _PAGE]
        paths = await data.store.ask(partial(_by_ids, kind=kind, ids=own))
        files = [path for run in own if (path := paths.get(run, "")).startswith(below)]
        yield list((await data.store.read_all(TaskRun, files)).values())


async def _by_ids(index: IndexReader, kind: str, ids: Sequence[str]) -> dict[str, str]:
    return await index.by_ids(kind, ids)


async def _runs_of_files(data: FrozenData, files: Sequence[str]) -> AsyncGenerator[list[TaskRun]]:
    """Yield the runs of some files, a page at a time."""
    for begin in range(0, len(files), _PAGE):
        yield list((await data.store.read_all(TaskRun, files[begin : begin + _PAGE])).values())


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
    targets = [] if place is None else [place / file.name for file in training_data.files]
    names = ", ".join(file.part for file in training_data.files)
    summary = f"Export {names} of {frozen.name!r} as training data.{training_data.warning}"
    plan = await anyio.to_thread.run_sync(_with_files, Plan(summary), workspace, store, targets)

    async def write_files() -> TrainingFiles:
        await write_training_files(store, frozen, place, training_data.files)
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


def _nothing_measured(run: TaskRun) -> bool:
    """Hold nothing back."""
    return False


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
    store: ProjectStore, frozen: DatasetSplit, place: Path | None, files: Sequence[PartFile]
) -> None:
    """Write files into a folder of the person's, or beside the frozen split.

    Raises:
        UnsafePath: A file would lie in git's own folder, or behind a link.
        RecordNotFound: The split was deleted meanwhile.
        WriteError: The disk refused.
    """
    own = frozen.saved.path
    paths = [side_path(own, file.name) for file in files]

    def copy_beside(_: CommitLog) -> None:
        check_links(store.folder, paths)
        if not (store.folder / own).is_file():
            raise RecordNotFound(frozen.type_name(), frozen.id)
        for file, path in zip(files, paths, strict=True):
            copy_file(file.content.path, store.folder / path)

    def copy_out(folder: Path) -> None:
        for file in files:
            check_target(folder / file.name)
            copy_file(file.content.path, folder / file.name)

    if place is None:
        await store.run_exclusive(copy_beside)
    else:
        await anyio.to_thread.run_sync(copy_out, place)


def _nothing_to_export(part: str, counts: PartCounts, total: int) -> Refusal:
    return Refusal(
        "Nothing of the part '{part}' can be exported: {held_out} items are measured on by "
        "evals, {unreasoned} have no reasoning, the answer of {unusable} is not complete, "
        "{shown} are shown by the prompt, {total} are there in all. Add items to that part, or "
        "choose a format without reasoning.",
        part=part,
        held_out=counts.held_out_items,
        unreasoned=counts.without_thinking,
        unusable=counts.unusable_items,
        shown=counts.shown_items,
        total=total,
        next=[NextStep(tool="add_data", reason="add items with outputs to that part")],
    )
