"""Capabilities: add data, generate it, split it."""

from collections.abc import Sequence
from typing import Annotated, Literal

import anyio
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.parts import PARTS, SHARES, part_filter, tag_of
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.synthesis.answers import AddedData, DataSplit, GeneratedData, PartSize
from kiln_mcp.synthesis.generation import (
    GenerationContext,
    GenerationRequest,
    calls_of_generation,
    coverage,
    inputs_by_model,
    inputs_of_assistant,
    open_generation,
    plan_generation,
)
from kiln_mcp.synthesis.ingestion import DataRequest, add_table
from kiln_mcp.synthesis.new_items import Author, DataItem, DataMapping
from kiln_mcp.synthesis.outputs import answer_all
from kiln_mcp.synthesis.report import FILE, DataReport, write_report
from kiln_mcp.synthesis.split_assignment import (
    DealRequest,
    deal_items,
    deal_step,
    deal_warnings,
    items_to_deal,
    save_deal,
    shares_for,
)
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Change, ProjectStore, Task, TaskRun
from storage.bulk_changes import BATCH
from storage.errors import InvalidValue, NextStep, Refusal
from storage.exchange import Contradictions, TableOptions


class Shares(BaseModel):
    """How large each part is, in any unit; a part that is left out gets nothing.

    Where zeros alone are given, the other parts keep their usual shares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    train: int | None = Field(default=None, ge=0, description="To improve on.")
    val: int | None = Field(default=None, ge=0, description="To choose among candidates.")
    test: int | None = Field(default=None, ge=0, description="To measure at the end.")
    golden: int | None = Field(default=None, ge=0, description="For people to label.")

    def by_part(self) -> dict[str, int]:
        """Return the shares that are above 0.

        Raises:
            Refusal: None is.
        """
        shares: dict[str, int | None] = {part: getattr(self, part) for part in SHARES}
        if any(shares.values()):
            return {part: share for part, share in shares.items() if share}
        usual_shares = {part: usual for part, usual in SHARES.items() if shares[part] is None}
        if not usual_shares:
            raise InvalidValue(
                "The shares cannot be used: all are 0. Give whole numbers, not negative, for "
                "train, val, test and golden; the usual ones are 40, 25, 25 and 10."
            )
        return usual_shares


@capability(
    effect=Effect.WRITES,
    title="Add data",
    search_hint="load or upload test cases, CSV, spreadsheet, logs, traces, examples, ground truth",
)
async def add_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    file: Annotated[
        str | None,
        Field(description="A table: .csv, .tsv, .xlsx, .json, .jsonl, .yaml or .parquet."),
    ] = None,
    items: Annotated[list[DataItem] | None, Field(description="Instead of a file.")] = None,
    mapping: Annotated[
        DataMapping | None,
        Field(description="Which columns hold what, if the file is not of a usual shape."),
    ] = None,
    preview: Annotated[
        bool, Field(description="Save nothing: show columns, mapping and what would come of it.")
    ] = False,
    outputs: Annotated[
        Literal["right", "answers"] | None,
        Field(
            description="right: outputs are references. answers: what a model said, right or "
            "wrong. Left out: right, unless the file names a model."
        ),
    ] = None,
    contradictions: Annotated[
        Literal["leave_out", "first", "all"],
        Field(description="What to do with an input that has several right outputs."),
    ] = "leave_out",
    author: Annotated[
        Author, Field(description="Who wrote `items`: a person, or you, the assistant.")
    ] = "assistant",
    tags: Annotated[list[str] | None, Field(description="Tags for all of them.")] = None,
    encoding: Annotated[
        str | None, Field(description="Of the file, such as windows-1252, if it is read wrongly.")
    ] = None,
    sheet: Annotated[
        str | None, Field(description="Of a spreadsheet; left out: the first one.")
    ] = None,
) -> AddedData:
    """Add inputs, with right outputs if there are any, or what a model answered, from a file.

    Knows the shapes of OpenAI, Inspect, promptfoo, Langfuse, LangSmith, Alpaca, ShareGPT, SQuAD and
    Hugging Face, exported runs, and traces of production: OpenTelemetry, Langfuse, LangSmith,
    OpenAI. Bad rows are named, the rest goes in. The same data again adds nothing. An input with
    several right outputs is listed to be decided. Then call split_data.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    request = DataRequest(
        file,
        items or (),
        mapping,
        outputs,
        Contradictions(contradictions),
        author,
        tags or (),
        TableOptions(encoding, sheet),
    )
    return await add_table(workspace, store, owner, request, preview=preview)


@capability(
    effect=Effect.SPENDS,
    title="Generate data",
    runs=Runs.AS_JOB,
    search_hint="make up, create or synthesise test cases, edge cases, more examples",
)
async def generate_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    request: Annotated[
        GenerationRequest | None, Field(description="How many, about what, like what.")
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
) -> Proposal[GeneratedData]:
    """Generate inputs by a coverage plan and let the task answer them.

    Covers topics, and cases that should pass, fail or be borderline; too-like inputs are dropped.
    The outputs are what the task really gives: right or wrong, they are no reference. For items
    with right answers use add_data.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    writer = workspace.model_name(model)
    request = request or GenerationRequest()
    answerer, input_count = workspace.model_name(None), len(inputs or [])
    ids = [workspace.id_for(f"item {number}") for number in range(input_count or request.count)]
    context = await open_generation(store, owner, request, run_config, answerer, ids)
    await workspace.check_ready(
        store, calls_of_generation(context, writer, input_count=input_count)
    )
    plan = await plan_generation(workspace.engine, context, writer, input_count=input_count)

    async def generate() -> GeneratedData:
        async with workspace.turn(store, f"data {owner.id}"):
            # Others may have added items since, which are not to be made again.
            fresh = await open_generation(store, owner, request, run_config, answerer, ids)
            return await _generate(workspace, fresh, writer, inputs)

    return Proposal(plan, generate)


async def _generate(
    workspace: Workspace,
    context: GenerationContext,
    writer: str,
    inputs: Sequence[JsonValue] | None,
) -> GeneratedData:
    engine, store = workspace.engine, context.store
    await workspace.report(0, None, "Writing inputs.")
    task_inputs = (
        await inputs_of_assistant(context, inputs)
        if inputs
        else await inputs_by_model(engine, context, writer)
    )
    total = len(task_inputs.task_inputs)

    async def report_done(done: int) -> None:
        await workspace.report(done, total, "Running the task on the inputs.")

    answers = await answer_all(
        engine, context.config, context.resolved_config, task_inputs.task_inputs, report_done
    )
    runs = [
        run.replace(id=context.ids[place])
        for place, run in enumerate(answers.runs)
        if run is not None
    ]
    if not runs:
        raise _nothing_generated(answers.failures)
    if context.config.origin is None:
        await store.save(context.config, parent=context.task, is_patient=True)
    fresh = [run for run in runs if run.id not in context.saved]
    report = await save_runs(store, context.task, fresh, are_paid=True)
    return GeneratedData(
        session=context.session_tag,
        items=len(runs),
        inputs_by=task_inputs.author,
        outputs_by=context.config.name,
        coverage=coverage(task_inputs, answers.runs),
        rejected_inputs=task_inputs.reject_count,
        failed=len(answers.failures),
        failures=list(answers.failures[:3]),
        distinct_pairs=report.distinct_pairs,
        nearest_similarity=report.nearest_similarity,
        report=FILE,
        next=[deal_step(str(store.folder))],
    )


@capability(
    effect=Effect.WRITES,
    title="Split the data",
    search_hint="divide into training, validation and held-out sets, no leaks or overlap",
)
async def split_data(
    workspace: Workspace,
    project: ProjectReference,
    name: Annotated[str, Field(description="What the split is for, such as a spec's name.")],
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
    redeal: Annotated[
        bool, Field(description="Deal again the items that this split has dealt already.")
    ] = False,
) -> DataSplit:
    """Deal items into train, val, test and golden by tags, such that like items stay together.

    Near-duplicates never straddle two parts, nor by default do items of one topic: a result on
    test then speaks for new topics. Items that were added later join the parts that are there,
    with their near-duplicates. Inputs alone are dealt too; without `shares` none of them is golden.
    The seed is recorded. Where `shares` names parts, the others get nothing.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    part_shares = (shares or Shares()).by_part()
    all_runs = data_set(await store.children(owner, TaskRun))
    own_items = await items_to_deal(store, owner, all_runs, items)
    if shares is None:
        part_shares = shares_for(part_shares, own_items)
    by_topic = keep_together == "topics"
    deal = await deal_items(
        own_items, DealRequest(name, tag_of(name), part_shares, seed, by_topic, is_new=redeal)
    )
    await save_deal(store, owner, all_runs, own_items, deal)
    record = deal.record
    filters = {part: part_filter(part, record.name) for part in PARTS if part in record.sizes}
    return DataSplit(
        split=record.name,
        seed=seed,
        parts=[
            PartSize(part=part, items=record.sizes[part], filter=filter_id)
            for part, filter_id in filters.items()
        ],
        groups=record.groups,
        newly_dealt=deal.dealt_now,
        warnings=deal_warnings(deal, own_items, part_shares),
        report=FILE,
        next=[
            NextStep(
                tool="create_evaluator",
                reason="make an eval of this split's parts, then run it",
                arguments={
                    "project": project,
                    "new_eval": {f"{part}_filter": tag for part, tag in filters.items()},
                },
            )
        ],
    )


def _nothing_generated(failures: Sequence[str]) -> Refusal:
    return Refusal(
        "No usable item was made, and nothing was saved.{reason} Try other examples or another "
        "model.",
        reason=f" The first failure: {failures[0]}" if failures else "",
        next=[NextStep(tool="add_data", reason="add your own items instead")],
    )


async def save_runs(
    store: ProjectStore, task: Task, runs: Sequence[TaskRun], *, are_paid: bool = False
) -> DataReport:
    """Save runs, a thousand in a transaction, and write the data report with the last ones.

    Args:
        store: The open project.
        task: What they are saved below.
        runs: The runs.
        are_paid: Whether a model was paid for them: then other writers are waited for.
    """
    existing = await store.children(task, TaskRun)
    last_begin = max(len(runs) - 1, 0) // BATCH * BATCH
    for begin in range(0, last_begin, BATCH):
        async with store.transaction(is_patient=are_paid) as change:
            await anyio.to_thread.run_sync(_save_below, change, runs[begin : begin + BATCH], task)
    async with store.transaction(is_patient=are_paid) as change:
        await anyio.to_thread.run_sync(_save_below, change, runs[last_begin:], task)
        return await write_report(change, task, data_set([*existing, *runs]))


def _save_below(change: Change, runs: Sequence[TaskRun], task: Task) -> None:
    for run in runs:
        change.save(run, parent=task)
