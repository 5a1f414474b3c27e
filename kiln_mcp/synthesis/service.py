"""Capabilities: add items, generate data, split it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.parts import SHARES, part_tags, tag_of
from kiln_mcp.datasets.topics import topic_of
from kiln_mcp.projects.references import ProjectReference, TaskReference, task_of
from kiln_mcp.synthesis.answers import DataGenerated, DataSplit, ItemsAdded, PartSize
from kiln_mcp.synthesis.errors import NoItemsMade, NothingToSplit, UnknownParts, UnreadableItems
from kiln_mcp.synthesis.generation import (
    DataWish,
    Scene,
    calls_of_generation,
    coverage,
    inputs_as_given,
    inputs_by_model,
    plan_generation,
    set_scene,
)
from kiln_mcp.synthesis.items import Author, GivenItem, Origin, read_items, runs_of
from kiln_mcp.synthesis.outputs import answer_all
from kiln_mcp.synthesis.report import FILE, DataReport, SplitRecord, write_report
from kiln_mcp.synthesis.similarity import grouped
from kiln_mcp.synthesis.splits import deal
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task, TaskRun, task_run_filter
from storage.errors import system_reason
from storage.files import read_ordinary

FEW_TEST = 25
FEW_GOLDEN = 12


class Shares(BaseModel):
    """How large each part is, in any unit; a part that is left out gets nothing.

    Where zeros alone are given, the other parts keep their usual shares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int | None = Field(default=None, ge=0, description="To improve on.")
    val: int | None = Field(default=None, ge=0, description="To choose among candidates.")
    test: int | None = Field(default=None, ge=0, description="To measure at the end.")
    golden: int | None = Field(default=None, ge=0, description="For people to label.")

    def by_part(self) -> dict[str, int]:
        """Return the shares that are above 0.

        Raises:
            UnknownParts: None is.
        """
        given: dict[str, int | None] = {part: getattr(self, part) for part in SHARES}
        if any(given.values()):
            return {part: share for part, share in given.items() if share}
        held = {part: usual for part, usual in SHARES.items() if given[part] is None}
        if not held:
            raise UnknownParts("all are 0")
        return held


@capability(effect=Effect.WRITES, title="Add items")
async def add_items(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    items: Annotated[
        list[GivenItem] | None, Field(description="Inputs with their right outputs.")
    ] = None,
    file: Annotated[
        str | None,
        Field(description="Instead of items: a .csv, .json or .jsonl file with input and output."),
    ] = None,
    written_by: Annotated[
        Author, Field(description="Who wrote the items: a person, or you, the assistant.")
    ] = "assistant",
    tags: Annotated[list[str] | None, Field(description="Tags for all of them.")] = None,
) -> ItemsAdded:
    """Add inputs with their right outputs to a task's data set, all or none.

    The outputs are the reference that evaluators compare with. Inputs that are there already are
    left out. Then call split_data.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    given = list(items or [])
    origin = Origin(written_by)
    if file is not None:
        path = workspace.place(file)
        given += await _read(path)
        origin = Origin(written_by, path.name)
    if not given:
        raise UnreadableItems(file or "the call", "there is no item")
    synthetic = ["synthetic"] if file is None and written_by == "assistant" else []
    runs = await runs_of(owner, given, origin, [*synthetic, *(tags or [])])
    known = {run.input for run in data_set(await store.children(owner, TaskRun))}
    fresh = list({run.input: run for run in reversed(runs) if run.input not in known}.values())[
        ::-1
    ]
    report = await save_runs(store, owner, fresh)
    return ItemsAdded(
        added=len(fresh),
        repeated=len(runs) - len(fresh),
        near_duplicates=report.near_duplicates,
        items=report.items,
        report=FILE,
        next_step="split_data: deal the items into train, val, test and golden.",
    )


@capability(effect=Effect.SPENDS, title="Generate data", runs=Runs.AS_JOB)
async def generate_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    wanted: Annotated[
        DataWish | None, Field(description="How many, about what, like what.")
    ] = None,
    inputs: Annotated[
        list[JsonValue] | None,
        Field(description="Inputs that you wrote yourself; then only outputs are generated."),
    ] = None,
    run_config: Annotated[
        str | None,
        Field(description="What answers the inputs; left out: the task's default or oldest one."),
    ] = None,
    model: Annotated[
        str | None, Field(description="What writes the inputs; left out: the default model.")
    ] = None,
) -> Proposal[DataGenerated]:
    """Generate inputs by a coverage plan and let the task answer them.

    Covers topics, and cases that should pass, fail or be borderline; too-like inputs are dropped.
    The outputs are what the task really gives: right or wrong, they are no reference. For items
    with right answers use add_items.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    writer = workspace.model_name(model)
    wish, answerer, given = wanted or DataWish(), workspace.model_name(None), len(inputs or [])
    ids = [workspace.id_for(f"item {number}") for number in range(given or wish.count)]
    scene = await set_scene(store, owner, wish, run_config, answerer, ids)
    await workspace.check_ready(store, calls_of_generation(scene, writer, given=given))
    plan = await plan_generation(workspace.engine, scene, writer, given=given)

    async def generate() -> DataGenerated:
        async with workspace.turn(store, f"data {owner.id}"):
            # Others may have added items since, which are not to be made again.
            fresh = await set_scene(store, owner, wish, run_config, answerer, ids)
            return await _generate(workspace, fresh, writer, inputs)

    return Proposal(plan, generate)


async def _generate(
    workspace: Workspace, scene: Scene, writer: str, inputs: Sequence[JsonValue] | None
) -> DataGenerated:
    engine, store = workspace.engine, scene.store
    await workspace.report(0, None, "Writing inputs.")
    made = (
        await inputs_as_given(scene, inputs)
        if inputs
        else await inputs_by_model(engine, scene, writer)
    )
    total = len(made.asked)

    async def report_done(done: int) -> None:
        await workspace.report(done, total, "Running the task on the inputs.")

    answers = await answer_all(engine, scene.config, scene.setup, made.asked, report_done)
    runs = [
        run.replace(id=scene.ids[place])
        for place, run in enumerate(answers.runs)
        if run is not None
    ]
    if not runs:
        raise NoItemsMade(answers.failures)
    if scene.config.origin is None:
        await store.save(scene.config, parent=scene.task)
    fresh = [run for run in runs if run.id not in scene.saved]
    report = await save_runs(store, scene.task, fresh)
    return DataGenerated(
        session=f"synthetic_session_{scene.session}",
        made=len(runs),
        inputs_by=made.made_by,
        outputs_by=scene.config.name,
        coverage=coverage(made, answers.runs),
        dropped=made.dropped,
        failed=len(answers.failures),
        failures=list(answers.failures[:3]),
        distinct_pairs=report.distinct_pairs,
        nearest_similarity=report.nearest_similarity,
        report=FILE,
        next_step="split_data: deal the items into train, val, test and golden.",
    )


@capability(effect=Effect.WRITES, title="Split the data")
async def split_data(
    workspace: Workspace,
    project: ProjectReference,
    name: Annotated[
        str, Field(description="What the split is for, such as a specification's name.")
    ],
    task: TaskReference = None,
    shares: Annotated[Shares | None, Field(description="Left out: 40, 25, 25 and 10.")] = None,
    seed: Annotated[int, Field(description="Repeats a deal exactly.")] = 0,
    items: Annotated[
        str, Field(description="Which items: `all`, `tag::<tag>` or another dataset filter.")
    ] = "all",
    keep_together: Annotated[
        Literal["topics", "near_duplicates"],
        Field(description="What never straddles parts: items of one topic too, or only likes."),
    ] = "topics",
    again: Annotated[
        bool, Field(description="Deal items anew that this split has dealt already.")
    ] = False,
) -> DataSplit:
    """Deal items into train, val, test and golden by tags, such that like items stay together.

    Near-duplicates never straddle two parts, nor by default do items of one topic: a result on
    test then speaks for new topics. Items that were added later join the parts that are there,
    beside their likes. The seed is recorded. Where `shares` names parts, the others get nothing.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    ending = tag_of(name)
    tags = part_tags(ending)
    chosen = (shares or Shares()).by_part()
    fits = task_run_filter(items)
    every = data_set(await store.children(owner, TaskRun))
    runs = [run for run in every if fits(run)]
    before = [None if again else _part_of(run, tags) for run in runs]
    waiting = [place for place, part in enumerate(before) if part is None]
    if not waiting:
        raise NothingToSplit(name, len(runs))
    inputs, topics = [run.input for run in runs], _keys(runs, by_topic=keep_together == "topics")
    groups = await anyio.to_thread.run_sync(grouped, inputs, topics)
    parts = _complete(groups, before, chosen, seed)
    sizes = Counter(parts)
    record = SplitRecord(
        name=ending,
        seed=seed,
        shares=chosen,
        sizes={part: sizes[part] for part in SHARES if sizes[part]},
        groups=len(set(groups)),
        largest_group=max(Counter(groups).values()),
    )
    async with store.transaction() as change:
        dealt = {
            run.id: change.amend(run, partial(_dealt_to, part=part, tags=tags))
            for run, part in zip(runs, parts, strict=True)
        }
        await write_report(change, owner, [dealt.get(run.id, run) for run in every], record)
    return DataSplit(
        split=ending,
        seed=seed,
        parts=[
            PartSize(part=part, items=count, filter=f"tag::{tags[part]}")
            for part, count in record.sizes.items()
        ],
        groups=record.groups,
        newly_dealt=len(waiting),
        warnings=_warnings(record, chosen),
        report=FILE,
        next_step="create_evaluator: a new eval takes this split's parts; then run_eval.",
    )


async def save_runs(store: ProjectStore, task: Task, runs: Sequence[TaskRun]) -> DataReport:
    """Save runs, all or none, and write the data report."""
    there = await store.children(task, TaskRun)
    async with store.transaction() as change:
        saved = [change.save(run, parent=task) for run in runs]
        return await write_report(change, task, data_set([*there, *saved]))


def _dealt_to(run: TaskRun, part: str, tags: Mapping[str, str]) -> TaskRun:
    """Return a run with the tag of one part of a split and of no other."""
    kept = [tag for tag in run.tags if tag not in tags.values()]
    is_dealt = tags[part] in run.tags and len(kept) + 1 == len(run.tags)
    return run if is_dealt else run.replace(tags=(*kept, tags[part]))


def _keys(runs: Sequence[TaskRun], *, by_topic: bool) -> list[str | None]:
    return [topic_of(run) if by_topic else None for run in runs]


async def _read(path: Path) -> list[GivenItem]:
    try:
        content = (await anyio.to_thread.run_sync(read_ordinary, path)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableItems(str(path), system_reason(error)) from error
    return await anyio.to_thread.run_sync(read_items, path, content)


def _part_of(run: TaskRun, tags: dict[str, str]) -> str | None:
    return next((part for part, tag in tags.items() if tag in run.tags), None)


def _complete(
    groups: Sequence[str], before: Sequence[str | None], shares: dict[str, int], seed: int
) -> list[str]:
    """Return the part of every item: as before, as its group's, or newly dealt."""
    home = {group: part for group, part in zip(groups, before, strict=True) if part is not None}
    loose = [group for group in groups if group not in home]
    dealt = dict(zip(loose, deal(loose, shares, seed), strict=True))
    return [
        part or home.get(group) or dealt[group] for group, part in zip(groups, before, strict=True)
    ]


def _warnings(record: SplitRecord, shares: dict[str, int]) -> list[str]:
    warnings: list[str] = []
    sizes = record.sizes
    if "test" in shares and sizes.get("test", 0) < FEW_TEST:
        warnings.append(
            f"Only {sizes.get('test', 0)} test items: differences below 0.3 will hardly show."
        )
    if "golden" in shares and sizes.get("golden", 0) < FEW_GOLDEN:
        warnings.append(
            f"Only {sizes.get('golden', 0)} golden items: a judge's agreement will be uncertain."
        )
    if record.largest_group * 4 > sum(sizes.values()):
        warnings.append(
            f"{record.largest_group} items are alike or of one topic and had to stay together, so "
            "parts differ from their shares. Give more topics, or keep_together=near_duplicates."
        )
    return warnings
