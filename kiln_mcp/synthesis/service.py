"""Capabilities: add data, generate it, split it."""

from collections.abc import Sequence
from typing import Annotated, Literal

import anyio
from pydantic import Field, JsonValue

from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.parts import PARTS, SHARES, part_filter, tag_of
from kiln_mcp.llm import ModelError
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.synthesis.answers import AddedData, DataSplit, GeneratedData, PartSize
from kiln_mcp.synthesis.frozen_splits import Freeze, SplitFrozen, freeze_parts, is_dealt
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
from kiln_mcp.synthesis.new_items import Author, DataItem, TextOrObject, read_mapping
from kiln_mcp.synthesis.outputs import answer_all
from kiln_mcp.synthesis.report import FILE, DataReport, write_report
from kiln_mcp.synthesis.split_assignment import (
    DealRequest,
    KeepTogether,
    deal_items,
    deal_step,
    deal_warnings,
    open_dataset,
    save_deal,
    shares_for,
)
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import Change, ProjectStore, Task, TaskRun
from storage.bulk_changes import BATCH
from storage.errors import InvalidValue, NextStep, Refusal
from storage.exchange import Contradictions, TableOptions


def _shares(*values: int | None) -> dict[str, int]:
    """Return the shares of train, val, test and golden that are above 0, in any unit.

    Where zeros alone are given, the other parts keep their usual shares.

    Raises:
        InvalidValue: None is.
    """
    shares = dict(zip(SHARES, values, strict=True))
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
    discovery=Discovery(
        Heading.DATA,
        "import, add, bring in, pull in, ingest, feed, paste, save, CSV, Excel, spreadsheet, "
        "sheet, table, rows, JSONL, dataset, dump, Langfuse, LangSmith, Phoenix, OpenTelemetry, "
        "production conversations, chats, tickets, emails, questions and expected answers, "
        "labelled, ground truth, real data, logging system, use my file, desktop, folder, "
        "attached, below, pasted, here are, these, existing, already have, old, users, user "
        "chats, messages, records, column, label, new examples, examples I wrote, test data, test "
        "set, database, output of my system, parquet, transcripts, exported, sheet of golden "
        "answers, this example, input and output, use as examples, insert, helpdesk, export of "
        "another system, examples from a file, add data",
    ),
)
async def add_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    file: Annotated[
        str | None,
        Field(description=".csv, .tsv, .xlsx, .json, .jsonl, .yaml or .parquet."),
    ] = None,
    items: Annotated[list[DataItem] | None, Field(description="Instead of a file.")] = None,
    mapping: Annotated[
        dict[str, str] | None,
        Field(
            description="For an unusual file: the column of input, output (or output.<field>), "
            "tags, topic, rating, model, reasoning. It may be a path (messages.0.content) or a "
            "template ('{{title}}: {{body}}')."
        ),
    ] = None,
    preview: Annotated[
        bool, Field(description="Save nothing, show what would come of it.")
    ] = False,
    outputs: Annotated[
        Literal["right", "answers"] | None,
        Field(
            description="Whether outputs are references, or what a model said. Left out: right, "
            "unless the file names a model."
        ),
    ] = None,
    contradictions: Annotated[
        Literal["leave_out", "first", "all"],
        Field(description="If an input has several right outputs."),
    ] = "leave_out",
    author: Annotated[Author, Field(description="Who wrote `items`.")] = "assistant",
    tags: Annotated[list[str] | None, Field(description="For all of them.")] = None,
    encoding: Annotated[str | None, Field(description="Such as windows-1252.")] = None,
    sheet: Annotated[str | None, Field(description="Left out: the first one.")] = None,
) -> AddedData:
    """Load data: upload examples, test cases, logs or traces from a file, or add given items.

    Knows the usual shapes of OpenAI, Langfuse, LangSmith, Hugging Face and OpenTelemetry. The
    same again adds nothing. Then call split_data.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    request = DataRequest(
        file,
        items or (),
        read_mapping(mapping),
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
    discovery=Discovery(
        Heading.DATA,
        "generate, create, invent, come up with, produce, synthesise, synthesize, fake, "
        "artificial, sample, more examples, questions, corner cases, tricky, rare, hard, "
        "difficult, adversarial, attacks, break it, jailbreak, red team, variety, varied, "
        "diverse, coverage, lack examples, not enough data, no data, personas, think of, think "
        "up, hundred, fifty, dozens, users could ask, user might say, imagine, simulate, small, "
        "too small, too few, only a few, cover, cases, Spanish, other languages, typos, long "
        "inputs, realistic, unusual, expand, augment, bigger dataset, write examples, test set, "
        "out of thin air, nasty, inputs, real users would ask, test cases, test data, synthetic "
        "data",
    ),
)
async def generate_data(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    count: Annotated[int, Field(ge=1, le=1000)] = 40,
    topics: Annotated[
        list[str] | None,
        Field(description="Left out: a capable model names some."),
    ] = None,
    spec: Annotated[
        str | None, Field(description="What to cover: passing, failing, borderline.")
    ] = None,
    guidance: str = "",
    examples: Annotated[
        list[str] | None,
        Field(description="Real inputs to be like; left out: the task's."),
    ] = None,
    inputs: Annotated[
        list[TextOrObject] | None,
        Field(description="Your own inputs; then only outputs are made."),
    ] = None,
    run_config: Annotated[
        str | None,
        Field(description="What answers; left out: the task's default."),
    ] = None,
    model: Annotated[str | None, Field(description="What writes the inputs.")] = None,
    seed: int = 0,
) -> Proposal[GeneratedData]:
    """Make up test cases: synthetic inputs by topic, edge case and clause, which the task answers.

    Too-like inputs are dropped. The outputs are what the task really gives, right or wrong: they
    are no reference.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    writer = workspace.model_name(model)
    request = GenerationRequest(
        count=count,
        topics=topics or [],
        examples=examples or [],
        spec=spec,
        guidance=guidance,
        seed=seed,
    )
    answerer, input_count = workspace.model_name(None), len(inputs or [])
    ids = [workspace.id_for(f"item {number}") for number in range(input_count or request.count)]
    context = await open_generation(store, owner, request, run_config, answerer, ids)
    await ready_run_configs(workspace, store, [context.config])
    await _check_answerer(workspace, context)
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


async def _check_answerer(workspace: Workspace, context: GenerationContext) -> None:
    """Refuse a run config whose model cannot answer: `model` names another one, the writer.

    Raises:
        Refusal: It cannot.
    """
    config = context.resolved_config
    try:
        await workspace.engine.check_ready({config.model: 1})
    except ModelError as error:
        raise Refusal(
            "The inputs would be answered by the run config '{config}' with the model {model}, "
            "which is not ready. {reason}",
            config=context.config.name,
            model=config.model,
            reason=error,
            next=[
                NextStep(
                    tool="create_run_config",
                    reason="name a model that answers, and give the new name as `run_config`",
                )
            ],
        ) from error


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
    discovery=Discovery(
        Heading.DATA,
        "divide, partition, separate, cut, training, dev, holdout, hold out, keep back, set "
        "aside, reserve, third, half, percent, 80/20, ratio, shares, leakage, leaking, "
        "contamination, overlap, duplicates, overfitting, unseen, peek, lock, pin, snapshot, fix, "
        "dataset version, reproducible, cite, release, trained on, tested on, evaluate on, "
        "percent for evaluation, twenty, eighty, part, parts, portion, random, same topic, "
        "similar, fair, cheat, cheating, seen before, sets, subset, keep the same, never change, "
        "mix, assign, between training and evaluation data, lock the test set, test set, split, "
        "held-out set, on one side",
    ),
)
async def split_data(
    workspace: Workspace,
    project: ProjectReference,
    name: Annotated[str, Field(description="Of the split, such as the spec's.")],
    task: TaskReference = None,
    train: Annotated[
        int | None,
        Field(ge=0, description="Its share; usual are 40, 25, 25, 10; none if others have one."),
    ] = None,
    val: Annotated[int | None, Field(ge=0)] = None,
    test: Annotated[int | None, Field(ge=0)] = None,
    golden: Annotated[int | None, Field(ge=0, description="For people to label.")] = None,
    seed: int = 0,
    items: Annotated[str, Field(description="all, tag::<tag> or another filter.")] = "all",
    keep_together: Annotated[
        KeepTogether, Field(description="What never straddles parts.")
    ] = "topics",
    redeal: Annotated[bool, Field(description="Deal again what is dealt.")] = False,
    freeze: Annotated[
        str | None,
        Field(
            description="Keep the parts as they are, for good, under this name, for fine-tunes "
            "and releases."
        ),
    ] = None,
) -> DataSplit | SplitFrozen:
    """Split data into train, validation, test and golden sets without leaks; freeze a version.

    Near-duplicates, items of one topic and of one origin stay together. Items added later join
    their parts. It says what leaks.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    part_shares = _shares(train, val, test, golden)
    dataset = await open_dataset(store, owner, items)
    own_items = dataset.items
    if freeze is not None and is_dealt(own_items, name) and not redeal:
        return await freeze_parts(store, owner, own_items, Freeze(freeze, name, items))
    if (train, val, test, golden) == (None,) * len(SHARES):
        part_shares = shares_for(part_shares, own_items)
    deal = await deal_items(
        own_items, DealRequest(name, tag_of(name), part_shares, seed, keep_together, is_new=redeal)
    )
    await save_deal(store, owner, dataset, deal)
    if freeze is not None:
        as_dealt = await open_dataset(store, owner, items)
        return await freeze_parts(store, owner, as_dealt.items, Freeze(freeze, name, items))
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
        is_clean=deal.leaks.is_clean,
        leaks=deal.leaks.sentences,
        warnings=deal_warnings(deal, own_items, part_shares),
        report=FILE,
        next=[
            NextStep(
                tool="create_evaluator",
                reason="make an eval of this split's parts, then run it",
                arguments={
                    "project": project,
                    **{f"{part}_filter": tag for part, tag in filters.items()},
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
