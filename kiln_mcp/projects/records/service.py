"""Capabilities: find and read records of every kind."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Final

import anyio.to_thread
from pydantic import Field, JsonValue, TypeAdapter

from kiln_mcp.projects.project_references import ProjectReference, handles
from kiln_mcp.projects.records.record_kinds import (
    RecordKind,
    RecordReference,
    find_record,
    type_name_of,
)
from kiln_mcp.workbench.answer_size import fitting_page
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.excerpt_texts import Longest, text_limit
from kiln_mcp.workbench.workspace import Workspace
from storage import Record
from storage.files import read_plain
from storage.format import layout
from storage.records.handles import handle_with_id
from storage.records.names import display_label
from storage.text.excerpts import counted_excerpt
from storage.text.kind_words import kind_word

_DOCUMENT: Final = TypeAdapter(dict[str, JsonValue])
_MAY_BE_SECRET: Final = frozenset({"headers", "env_vars"})


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


@capability(
    effect=Effect.READS,
    title="Find records",
    search_hint="list or search specs, evals, prompts, judges, models, documents by name",
)
async def find_records(
    workspace: Workspace,
    project: ProjectReference,
    kind: RecordKind,
    text: Annotated[str, Field(description="Part of their names; left out: all.")] = "",
    limit: Annotated[int, Field(ge=1, le=100, description="How many on a page.")] = 20,
    cursor: Annotated[str | None, Field(description="next_cursor of the page before.")] = None,
) -> RecordPage:
    """Find a project's records of any kind, page by page.

    For runs, find_runs knows more: tags, ratings, words. Read one with read_record.
    """
    store = await workspace.open_project(project)
    model = layout.kind_named(type_name_of(kind))
    names = await handles(store, model) if "name" in model.model_fields else {}

    async def find_page(size: int) -> RecordPage:
        page = await store.page_of(model, text=text, limit=size, cursor=cursor)
        return RecordPage(
            total=page.total,
            records=[_summary(record, names.get(record.id)) for record in page.records],
            next_cursor=page.next_cursor,
        )

    return await fitting_page(workspace.answer_tokens, limit, "records", find_page)


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
    title="Read a record",
    search_hint="open or show a spec, prompt, eval or setting in full",
)
async def read_record(
    workspace: Workspace,
    project: ProjectReference,
    kind: RecordKind,
    record: RecordReference,
    longest: Longest = None,
) -> RecordDetails:
    """Read one record of any kind as its file has it, fields that are not known here included.

    Values of headers and environment variables are not shown: they may be secret.
    """
    store = await workspace.open_project(project)
    target = await find_record(store, kind, record)
    file = store.folder / target.saved.path
    content = await anyio.to_thread.run_sync(read_plain, file)
    text_size = text_limit(longest, is_detailed=workspace.is_detailed)
    document = _DOCUMENT.validate_json(content)
    return RecordDetails(
        file=target.saved.path,
        record={key: _shortened_value(key, value, text_size) for key, value in document.items()},
        below={kind_word(kind): n for kind, n in (await store.counts(target)).items()},
    )


def _shortened_value(key: str, value: JsonValue, longest: int) -> JsonValue:
    if isinstance(value, Mapping):
        if key in _MAY_BE_SECRET:
            return dict.fromkeys(value, "(not shown)")
        return {name: _shortened_value(name, part, longest) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened_value(key, part, longest) for part in value]
    return counted_excerpt(value, longest) if isinstance(value, str) else value
