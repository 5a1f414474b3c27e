"""Changes of a project: records to save and to delete, as edits and moves of files."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import JsonValue

from storage.commits.attachments import FileToCopy, files_to_copy
from storage.commits.commit_log import FileEdit, Move
from storage.commits.side_files import read_side_file, side_path, with_lines
from storage.commits.trash import TrashEntry, new_trash_entry
from storage.commits.write_ahead import Rewrite
from storage.errors import (
    CorruptRecord,
    StaleRevision,
    UnreadableRecord,
    system_reason,
)
from storage.files import read_plain
from storage.format.layout import SCORER_FILE, folder_of
from storage.format.record_text import parse_record, revision_of
from storage.format.tag_text import TaggedRecord, TagsChange, text_with_tags
from storage.format.validation import Ancestors
from storage.index.scan import TagChange, plain_state
from storage.new_records import (
    NewRecord,
    SaveOutcome,
    encode_text,
    new_path,
    new_text,
    path_below,
)
from storage.records import Origin, Record, Task, TaskRun
from storage.records.names import display_label
from storage.refusals import already_deleted
from storage.text.json_text import patch_json

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Change:
    """Several writes that happen all or not at all.

    Attributes:
        folder: The project's folder.
        ancestors: Checks records against those above them; None for a reader of its own.
        edits: Files that get a new content.
        moves: Folders that go elsewhere.
        files: Files that are copied beside their records first.
    """

    folder: Path
    ancestors: InitVar[Ancestors | None] = None
    edits: list[FileEdit] = field(default_factory=list[FileEdit])
    moves: list[Move] = field(default_factory=list[Move])
    files: list[FileToCopy] = field(default_factory=list[FileToCopy])
    _places: dict[str, int] = field(init=False, default_factory=dict[str, int])
    _deleted_folders: set[str] = field(init=False, default_factory=set[str])
    _checks: list[tuple[Record, str, Record | None]] = field(
        init=False, default_factory=list[tuple[Record, str, Record | None]]
    )

    _ancestors: Ancestors = field(init=False)

    def __post_init__(self, ancestors: Ancestors | None) -> None:
        self._ancestors = Ancestors(self.folder) if ancestors is None else ancestors

    @property
    def needs_check(self) -> bool:
        """Whether `check` has anything to look at."""
        return bool(self._checks)

    def check(self) -> None:
        """Refuse records that do not fit a task's schemas. Blocks: call it in a thread.

        Raises:
            StorageError: A record does not fit.
        """
        for record, path, previous in self._checks:
            self._ancestors.check(record, path, previous)
        self._checks.clear()

    def _check(self, record: Record, path: str, previous: Record | None) -> None:
        """Check a record now, or later if a worker process may have to look at a schema."""
        if isinstance(record, Task | TaskRun):
            if self._ancestors.uses_schema(record, path):
                self._checks.append((record, path, previous))
        else:
            self._ancestors.check(record, path, previous)

    def save(self, record: R, parent: Record | None = None) -> R:
        """Save a record when the change is written; return it as it will be.

        `check` tells whether it fits the schemas of its task.

        Raises:
            StorageError: It cannot be written, or does not fit what is above it.
            StaleRevision: Its file was taken away.
        """
        if record.origin is None:
            path, expected = new_path(record, parent), None
            below = parent.saved.path if parent else None
            self._check(record, path, None)
            content: bytes | None = new_text(record)
        else:
            path, expected, below = record.origin.path, record.origin.revision, None
            content = self._changed_text(record, record.origin)
        if content is None:
            return record
        # The text of a new record spells it whole; one that is changed keeps what its file had.
        index_record = record if expected is None else None
        self._note(FileEdit(path, content, expected, below, record=index_record))
        if expected is None:
            self._note_code(record, path)
        self.files += files_to_copy(record, path)
        return record.at(Origin(path, revision_of(content)))

    def amend(self, record: R, amendment: Callable[[R], R]) -> R:
        """Note a change that commutes with those of others, such as adding a tag.

        If the file has changed meanwhile, the amendment applies to its new content. So nothing is
        refused, and nobody's change is lost.

        Args:
            record: The record, as it was read.
            amendment: Returns a record as it is to be; may be called more than once.

        Returns:
            The record as it will be, or the same one if nothing changes. Read it again before
            you save it by `save`, because others may have changed it.

        Raises:
            StorageError: The result does not fit what is above it.
            StaleRevision: The file was taken away.
        """
        path, kind = record.saved.path, type(record)

        def rewrite(current: bytes | None) -> bytes | None:
            if current is None:
                raise StaleRevision(path, None, None)
            previous = parse_record(kind, current, path)
            changed = amendment(previous)
            self._ancestors.check(changed, path, previous)
            content = _patch_record(changed, previous, current)
            results.append(changed)
            return None if content == current else content

        results: list[R] = []
        earlier_edit = self._edit_of(path)
        current = earlier_edit.content if earlier_edit else self._on_disk(path)
        content = self._rewrite(path, None, current, rewrite, lambda: results[-1])
        if content is None:
            return record
        return results[-1].at(Origin(path, revision_of(content)))

    def retag(
        self,
        kind: type[TaggedRecord],
        path: str,
        change_tags: TagsChange,
        revision: str | None = None,
    ) -> bool:
        """Note other tags of a record, as `amend` would; nothing else of its file is spelled again.

        Args:
            kind: The record's kind.
            path: Its file.
            change_tags: Returns the tags as they are to be; may be called more than once.
            revision: The revision in which the record was read, if it was.

        Returns:
            Whether anything changes.

        Raises:
            StaleRevision: The file was taken away.
            UnreadableRecord: It is no record of this kind.
            StorageError: A tag is none that the format has.
        """

        def rewrite(current: bytes | None) -> bytes | None:
            if current is None:
                raise StaleRevision(path, None, None)
            result = text_with_tags(kind, current, path, change_tags, revision)
            if result is None:
                return None
            tags.append(result[1])
            return result[0]

        tags: list[tuple[str, ...]] = []
        file = f"{self.folder}/{path}"
        earlier_edit = self._edit_of(path)
        state = None if earlier_edit else _state(file)
        current = earlier_edit.content if earlier_edit else self._on_disk(path)
        if self._rewrite(path, None, current, rewrite) is None:
            return False
        if state is not None and state == _state(file):
            edit = self.edits[self._places[path]]
            tag_change = TagChange(state, tags[-1])
            self.edits[self._places[path]] = replace(edit, tag_change=tag_change)
        return True

    def save_once(
        self, new: NewRecord[R], parent: Record, is_it: Callable[[R], bool]
    ) -> SaveOutcome:
        """Save a new record unless it was saved before under the same id.

        Args:
            new: The record, whose id comes from what it is made of. That it fits what is above it
                is checked by the caller.
            parent: What it is saved below.
            is_it: Whether a record that has this id is the same one; it may have been changed.

        Raises:
            StorageError: It is of a kind that does not lie below the parent.
        """
        path, kind = path_below(parent, new.kind, new.values.id, new.values.name), new.kind
        if self._edit_of(path):
            return SaveOutcome.TAKEN
        if os.path.lexists(f"{self.folder}/{path}"):
            with suppress(OSError, UnreadableRecord):
                record_on_disk = parse_record(kind, read_plain(self.folder / path), path)
                return SaveOutcome.THERE if is_it(record_on_disk) else SaveOutcome.TAKEN
            return SaveOutcome.TAKEN
        edit = FileEdit(path, new.content, None, parent.saved.path, lambda _: None, new.values)
        self._note(edit)
        return SaveOutcome.SAVED

    def has_record(self, record: Record, parent: Record) -> bool:
        """Return whether a new record's file is there already, whatever it holds."""
        return os.path.lexists(f"{self.folder}/{new_path(record, parent)}")

    def at_new_place(self, new: NewRecord[R], parent: Record) -> R:
        """Return a new record as it will be, to save others below it."""
        origin = Origin(new_path(new.record, parent), revision_of(new.content))
        return new.record.at(origin)

    def append_lines(self, record: Record, name: str, lines: Sequence[str]) -> None:
        """Append lines to a file beside a record; lines that others append meanwhile stay.

        Args:
            record: The record, saved or noted to be.
            name: The file's name.
            lines: JSON texts without line breaks.

        Raises:
            CorruptRecord: The file cannot be read.
            StorageError: It is no name of such a file.
            UnsafePath: It is a link, or a link leads to it.
        """
        if lines:
            self.write_side_file(record, name, lambda current: with_lines(current, lines))

    def write_side_file(self, record: Record, name: str, content: bytes | Rewrite) -> None:
        """Write a file beside a record.

        Args:
            record: The record, saved or noted to be.
            name: The file's name.
            content: The content, or what makes it of what the file holds.

        Raises:
            CorruptRecord: The file cannot be read.
            StorageError: It is no name of such a file.
            UnsafePath: It is a link, or a link leads to it.
        """
        below = record.saved.path
        path = side_path(below, name)
        earlier_edit = self._edit_of(path)
        rewrite: Rewrite = content if callable(content) else lambda _: content
        try:
            current = earlier_edit.content if earlier_edit else read_side_file(self.folder, path)
        except OSError as error:
            raise CorruptRecord(path, system_reason(error)) from error
        self._rewrite(path, below, current, rewrite)

    def _rewrite(
        self,
        path: str,
        below: str | None,
        current: bytes | None,
        rewrite: Rewrite,
        index_record: Callable[[], Record | None] = lambda: None,
    ) -> bytes | None:
        """Note an edit that commutes and return the file's new content; None for no change."""
        content = rewrite(current)
        if content is None or content == current:
            return None
        earlier_edit = self._edit_of(path)
        first = earlier_edit.rewrite if earlier_edit else None
        expected = None if current is None else revision_of(current)
        combination = rewrite if first is None else _compose(first, rewrite)
        self._note(FileEdit(path, content, expected, below, combination, index_record()))
        return content

    def _note_code(self, record: Record, path: str) -> None:
        """Note the file of code that a new record has beside it, if it has one."""
        if record.program is not None:
            code = record.program.encode("utf-8")
            self._note(FileEdit(str(folder_of(path) / SCORER_FILE), code, None))

    def _note(self, edit: FileEdit) -> None:
        """Note an edit; of a file that this change writes already, it is the same one."""
        earlier_edit = self._edit_of(edit.path)
        if earlier_edit is None:
            self._places[edit.path] = len(self.edits)
            self.edits.append(edit)
        else:
            rewrite = edit.rewrite if earlier_edit.rewrite else None
            combination = replace(
                earlier_edit,
                content=edit.content,
                rewrite=rewrite,
                record=edit.record,
                tag_change=None,
            )
            self.edits[self._places[edit.path]] = combination

    def _edit_of(self, path: str) -> FileEdit | None:
        place = self._places.get(path)
        return None if place is None else self.edits[place]

    def delete(self, record: Record) -> TrashEntry:
        """Delete a record with all below it; they go to the trash.

        Raises:
            StorageError: This change puts it there already, or what it lies below.
        """
        label = display_label(dict(record))
        return self._trash(record.saved.path, record.type_name(), record.id, label)

    def delete_unread(self, path: str) -> TrashEntry:
        """Delete a record whose file cannot be read.

        Raises:
            StorageError: This change puts it there already, or what it lies below.
        """
        file = PurePosixPath(path)
        record_id, _, label = file.parent.name.partition(" - ")
        return self._trash(path, file.stem, record_id, label or record_id)

    def _trash(self, path: str, kind: str, record_id: str, label: str) -> TrashEntry:
        folder = folder_of(path)
        if not self._deleted_folders.isdisjoint(map(str, (folder, *folder.parents))):
            raise already_deleted(path)
        entry = new_trash_entry(kind, record_id, label, str(folder))
        self.move_to_trash(entry, path)
        return entry

    def move_to_trash(self, entry: TrashEntry, holds: str | None = None) -> None:
        """Move a folder to the trash; it must hold the file, if one is given."""
        path, content = entry.note
        self.edits.append(FileEdit(path, content, None))
        self.moves.append(Move(entry.folder, entry.place, holds))
        self._deleted_folders.add(entry.folder)

    def _changed_text(self, record: Record, origin: Origin) -> bytes | None:
        """Return the file's new bytes; None if nothing changes."""
        earlier_edit = self._edit_of(origin.path)
        if earlier_edit and revision_of(earlier_edit.content) == origin.revision:
            current = earlier_edit.content
        else:
            current = self._on_disk(origin.path)
        if revision_of(current) != origin.revision:
            # The commit, which looks again under the lock, says who and when.
            return new_text(record)
        previous = parse_record(type(record), current, origin.path)
        self._check(record, origin.path, previous)
        content = _patch_record(record, previous, current)
        return None if content == current else content

    def _on_disk(self, path: str) -> bytes:
        try:
            return read_plain(f"{self.folder}/{path}")
        except FileNotFoundError as error:
            raise StaleRevision(path, None, None) from error
        except OSError as error:
            raise CorruptRecord(path, system_reason(error)) from error


def _patch_record(record: Record, previous: Record, content: bytes) -> bytes:
    """Return the bytes of a record that was changed; what stays is spelled as it was."""
    old_data: dict[str, JsonValue] = previous.model_dump(mode="json")
    new_data: dict[str, JsonValue] = record.model_dump(mode="json")
    text = content.decode("utf-8")
    return encode_text(record, lambda: patch_json(text, old_data, new_data))


def _state(file: str) -> tuple[int, int] | None:
    """Return when a file was changed, and its size; None if it cannot be seen."""
    try:
        return plain_state(file)
    except OSError:
        return None


def _compose(first: Rewrite, second: Rewrite) -> Rewrite:
    def apply(current: bytes | None) -> bytes | None:
        between = first(current)
        after = second(current if between is None else between)
        return between if after is None else after

    return apply
