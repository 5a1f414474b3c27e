"""The kinds of record that people name at the doors, and how one is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

from kiln_mcp.workbench.unlisted_values import OneOf
from storage import ProjectStore
from storage.changes import Change
from storage.commits.trash import TrashEntry
from storage.errors import UnreadableRecord
from storage.format import layout
from storage.records import Record
from storage.records.handles import id_in_reference
from storage.text.kind_words import format_name, kind_word, split_handle

Kind = Literal[
    "task",
    "run",
    "prompt",
    "run_config",
    "spec",
    "eval",
    "evaluator",
    "eval_result",
    "eval_input",
    "dataset_split",
    "finetune",
    "prompt_optimization_job",
    "data_guide",
    "feedback",
    "claim_review",
    "skill",
    "code_tool",
    "external_tool_server",
    "document",
    "extraction",
    "chunked_document",
    "chunk_embeddings",
    "rag_config",
    "extractor_config",
    "chunker_config",
    "embedding_config",
    "vector_store_config",
    "reranker_config",
]
_KINDS = "run, task, spec, eval, evaluator, run_config, prompt, dataset_split …"


RecordKind = Annotated[Kind, OneOf(get_args(Kind)), Field(description=_KINDS)]
FoundKind = Annotated[
    Kind | Literal["trash"],
    OneOf((*get_args(Kind), "trash")),
    Field(description=f"{_KINDS}; trash: what was deleted."),
]
RecordReference = Annotated[str, Field(description="The record's id, or its name.")]


def type_name_of(kind: Kind) -> str:
    """Return the format's name of a kind."""
    return format_name(kind)


def kind_in(reference: str) -> Kind | None:
    """Return the kind that a handle such as `spec/refunds` names; None if it names none."""
    word = kind_word(split_handle(reference)[0])
    return next((kind for kind in get_args(Kind) if kind == word), None)


async def find_record(store: ProjectStore, kind: Kind, reference: str) -> Record:
    """Return a record of a kind by its id, name or handle, wherever in the project it lies.

    Raises:
        storage.errors.RecordNotFound: There is none.
        storage.errors.UnreadableRecord: Its file cannot be used.
        storage.errors.Refusal: Several have this name.
    """
    return await store.find(layout.kind_named(type_name_of(kind)), reference)


@dataclass(frozen=True, slots=True)
class RecordToDelete:
    """A record that is named to be deleted.

    Attributes:
        id: Its id.
        path: Its file, within the project.
        record: What its file holds; None if that cannot be read.
    """

    id: str
    path: str
    record: Record | None

    def move_to_trash(self, change: Change) -> TrashEntry:
        """Note it to be put into the trash."""
        return change.delete(self.record) if self.record else change.delete_unread(self.path)


async def find_all(
    store: ProjectStore, kind: Kind, references: Sequence[str]
) -> list[RecordToDelete]:
    """Return the records of a kind by their ids or names; see `find_to_delete`."""
    model = layout.kind_named(type_name_of(kind))
    ids = [id_in_reference(model.type_name(), reference) for reference in references]
    paths = await store.ask(lambda index: index.by_ids(model.type_name(), ids))
    records = await store.read_all(model, paths.values())
    by_id = {record.id: record for record in records.values()}
    return [
        RecordToDelete(record_id, record.saved.path, record)
        if (record := by_id.get(record_id)) is not None
        else await find_to_delete(store, kind, reference)
        for record_id, reference in zip(ids, references, strict=True)
    ]


async def find_to_delete(store: ProjectStore, kind: Kind, reference: str) -> RecordToDelete:
    """Return a record of a kind by its id or name; one that cannot be read only by its id.

    Raises:
        storage.errors.RecordNotFound: There is none.
        storage.errors.Refusal: Several have this name.
    """
    try:
        record = await find_record(store, kind, reference)
    except UnreadableRecord as error:
        return RecordToDelete(id_in_reference(type_name_of(kind), reference), error.path, None)
    return RecordToDelete(record.id, record.saved.path, record)
