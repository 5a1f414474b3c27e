"""Capabilities: add data, generate it, split it."""

from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.datasets.parts import PARTS, SHARES, part_filter, tag_of
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.synthesis.answers import AddedData, DataSplit, PartSize
from kiln_mcp.synthesis.frozen_splits import (
    Freeze,
    SplitFrozen,
    check_can_freeze,
    freeze_parts,
    is_dealt,
)
from kiln_mcp.synthesis.ingestion import DataRequest, add_table
from kiln_mcp.synthesis.new_items import Author, DataItem, read_mapping
from kiln_mcp.synthesis.report import FILE
from kiln_mcp.synthesis.split_assignment import (
    DealRequest,
    KeepTogether,
    deal_items,
    deal_warnings,
    open_dataset,
    save_deal,
    shares_for,
)
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import InvalidValue, NextStep
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
        alternatives=("file", "items"),
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
            "tags, topic, rating, model, reasoning. Or a path (messages.0.content) or a "
            "template ('{{title}}: {{body}}')."
        ),
    ] = None,
    preview: Annotated[bool, Field(description="Save nothing, show the outcome.")] = False,
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
    name: Annotated[str, Field(min_length=1, description="Of the split, such as the spec's.")],
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
        Field(description="Keep the parts for good, under this name, for fine-tunes and releases."),
    ] = None,
) -> DataSplit | SplitFrozen:
    """Split data into train, validation, test and golden sets without leaks; freeze a version.

    Near-duplicates, items of one topic and of one origin stay together. Later items join their
    parts.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    part_shares = _shares(train, val, test, golden)
    dataset = await open_dataset(store, owner, items)
    own_items = dataset.items
    embeddings = workspace.settings.embeddings
    frozen = None if freeze is None else Freeze(freeze, name, items, embeddings)
    if frozen is not None:
        check_can_freeze(own_items, frozen.name)
    if frozen is not None and is_dealt(own_items, name) and not redeal:
        return await freeze_parts(store, owner, own_items, frozen)
    if (train, val, test, golden) == (None,) * len(SHARES):
        part_shares = shares_for(part_shares, own_items)
    request = DealRequest(
        name,
        tag_of(name),
        part_shares,
        seed,
        keep_together,
        is_new=redeal,
        embeddings=embeddings,
    )
    deal = await deal_items(own_items, request)
    await save_deal(store, owner, dataset, deal)
    if frozen is not None:
        as_dealt = await open_dataset(store, owner, items)
        return await freeze_parts(store, owner, as_dealt.items, frozen)
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
