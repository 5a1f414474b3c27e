"""Capabilities: find runs, records and what is in the trash, and read one of them."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Final

import anyio.to_thread
from pydantic import Field, JsonValue, TypeAdapter

from kiln_mcp.projects.history.entries import ChangeEntry, Trash, change_entry, page_of_trash
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    handles,
    task_of,
)
from kiln_mcp.projects.records.record_kinds import (
    FoundKind,
    RecordKind,
    find_record,
    kind_in,
    type_name_of,
)
from kiln_mcp.projects.runs.pages import (
    Filter,
    Order,
    RunDetails,
    RunPage,
    Source,
    page_of_runs,
    run_details,
)
from kiln_mcp.workbench.answer_size import fitting_page
from kiln_mcp.workbench.capability import Discovery, Effect, Heading, Result, capability
from kiln_mcp.workbench.excerpt_texts import Longest, text_limit
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, TaskRun
from storage.collaboration.sync import Sharing
from storage.errors import InvalidValue
from storage.files import read_plain
from storage.format import layout
from storage.index.queries import RunQuery
from storage.records import Record
from storage.records.handles import handle_with_id
from storage.records.names import display_label
from storage.text.excerpts import counted_excerpt
from storage.text.kind_words import kind_word

_DOCUMENT: Final = TypeAdapter(dict[str, JsonValue])
_MAY_BE_SECRET: Final = frozenset({"headers", "env_vars"})
_MOST_CHANGES: Final = 20


class RecordSummary(Result):
    """A record in one line."""

    id: str
    handle: str = Field(description="What names it in calls, such as `spec/refunds`.")
    label: str = Field(description="Its name, or how it begins.")
    folder: str = Field(description="Where it lies in the project.")
    created_at: str
    created_by: str


class RecordPage(Result):
    """Some of the records of a kind, the newest first."""

    total: int
    records: list[RecordSummary]
    next_cursor: str | None


class RecordDetails(Result):
    """A record in full."""

    file: str
    record: dict[str, JsonValue]
    below: dict[str, int] = Field(description="How many records of each kind lie below it.")
    changes: list[ChangeEntry] = Field(default=[], description="Its history, if asked for.")


@capability(
    effect=Effect.READS,
    title="Find runs and records",
    discovery=Discovery(
        Heading.PROJECTS,
        "look for, look up, filter, browse, show all, how many, outputs, answers, responses, "
        "logs, traces, conversations, examples, items, containing, mention, keyword, tagged, low "
        "rated, bad ratings, stars, thumbs down, recent, latest, oldest, judges, models, "
        "documents, settings, deleted, trash, recycle bin, pull up, everything, total, count, "
        "customers complained, asked, said, where it said, long, short, similar, got, exist, "
        "there are, overview of runs, duplicates, unrated, newest, last ten, table, do we have, "
        "have we got, which are saved, about, nobody has rated, every evaluator, list all",
    ),
)
async def find(
    workspace: Workspace,
    project: ProjectReference,
    kind: FoundKind = "run",
    text: Annotated[
        str | None,
        Field(
            description="Of runs: all these words, or beginnings of them, are in it. Else part of "
            "the name."
        ),
    ] = None,
    task: TaskReference = None,
    filter: Filter = "all",
    is_rated: bool | None = None,
    least_stars: float | None = None,
    most_stars: float | None = None,
    source: Source | None = None,
    order: Order = "newest",
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Field(description="The last next_cursor.")] = None,
) -> RunPage | RecordPage | Trash:
    """Search or list runs (inputs with outputs), specs, evals, prompts and all else in a project.

    read shows one in full. From task to order, arguments are of runs.
    """
    store = await workspace.open_project(project)
    query = RunQuery(
        filter_id=filter,
        text=text,
        is_rated=is_rated,
        least_rating=least_stars,
        most_rating=most_stars,
        source=source,
    )
    if kind == "run":
        owner = await task_of(store, task)

        async def find_page(size: int) -> RunPage:
            return await page_of_runs(store, owner, query, order=order, limit=size, cursor=cursor)

        return await fitting_page(workspace.answer_tokens, limit, "runs", find_page)
    if query != RunQuery(filter_id="all", text=text) or order != "newest":
        raise InvalidValue(
            "Nothing was searched: `filter`, `is_rated`, stars, `source` and `order` choose among "
            "runs, not among records of the kind '{kind}'. Leave them out.",
            kind=kind,
        )
    if kind == "trash":
        entries = await store.trash()

        async def find_deleted(size: int) -> Trash:
            return page_of_trash(entries, text or "", size, cursor)

        return await fitting_page(workspace.answer_tokens, limit, "records", find_deleted)
    model = layout.kind_named(type_name_of(kind))
    names = await handles(store, model) if "name" in model.model_fields else {}

    async def find_records(size: int) -> RecordPage:
        page = await store.page_of(model, text=text or "", limit=size, cursor=cursor)
        return RecordPage(
            total=page.total,
            records=[_summary(record, names.get(record.id)) for record in page.records],
            next_cursor=page.next_cursor,
        )

    return await fitting_page(workspace.answer_tokens, limit, "records", find_records)


def _summary(record: Record, handle: str | None) -> RecordSummary:
    return RecordSummary(
        id=record.id,
        handle=handle or handle_with_id(record.type_name(), record.id),
        label=display_label(dict(record)),
        folder=str(PurePosixPath(record.saved.path).parent),
        created_at=record.created_at.isoformat(),
        created_by=record.created_by,
    )


@capability(
    effect=Effect.READS,
    title="Read a run or record",
    discovery=Discovery(
        Heading.PROJECTS,
        "view, display, inspect, look at, details, detail, entire, whole, complete text, content, "
        "conversation, transcript, messages, steps, tool calls, configuration, by id or name, "
        "print, versions, exactly, replied, reply, said, look like, right now, current, this one, "
        "that one, last, next, who edited it, text of, show me, what does it say, called, full "
        "trace, output, record, entry",
    ),
)
async def read(
    workspace: Workspace,
    project: ProjectReference,
    record: Annotated[str, Field(description="Its id or name.")],
    kind: RecordKind = "run",
    longest: Longest = None,
    history: Annotated[bool, Field(description="Show its changes, too.")] = False,
) -> RunDetails | RecordDetails:
    """Open one run or record and show it in full, with its history if asked for."""
    store = await workspace.open_project(project)
    if kind == "run":  # the usual kind; runs have no names, so a handle of another kind is meant
        kind = kind_in(record) or kind
    text_size = text_limit(longest, is_detailed=workspace.is_detailed)
    if kind == "run":
        run = await store.find(TaskRun, record)
        details = await run_details(store, run, text_size)
        return details.model_copy(update={"changes": await _changes(store, run, history)})
    target = await find_record(store, kind, record)
    file = store.folder / target.saved.path
    content = await anyio.to_thread.run_sync(read_plain, file)
    document = _DOCUMENT.validate_json(content)
    return RecordDetails(
        file=target.saved.path,
        record={key: _shortened_value(key, value, text_size) for key, value in document.items()},
        below={kind_word(kind): n for kind, n in (await store.counts(target)).items()},
        changes=await _changes(store, target, history),
    )


async def _changes(store: ProjectStore, record: Record, is_wanted: bool) -> list[ChangeEntry]:
    """Return a record's newest changes, if they are asked for."""
    if not is_wanted:
        return []
    page = await Sharing(store).history(record.saved.path, _MOST_CHANGES)
    return [change_entry(entry) for entry in page.entries]


def _shortened_value(key: str, value: JsonValue, longest: int) -> JsonValue:
    if isinstance(value, Mapping):
        if key in _MAY_BE_SECRET:
            return dict.fromkeys(value, "(not shown)")
        return {name: _shortened_value(name, part, longest) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened_value(key, part, longest) for part in value]
    return counted_excerpt(value, longest) if isinstance(value, str) else value
