"""What is to be written: records to save and to put into the trash, as edits and moves of files."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import JsonValue

from storage.attachments import FileToCopy, files_to_copy
from storage.commits import Edit, Move
from storage.errors import AlreadyDeleted, InvalidRecord, StaleRevision
from storage.fitting import Ancestors
from storage.index.rows import name_of
from storage.json_text import patch_json, write_json
from storage.kind_words import kind_word
from storage.layout import SCORER_FILE, folder_of, place_of
from storage.names import folder_name, known_as
from storage.reading import parse_record, revision_of
from storage.records import CodeEval, EvalConfig, Origin, Record, Task, TaskRun
from storage.trash import Trashed, trashed_now

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Change:
    """Several writes that happen all or not at all.

    Attributes:
        folder: The project's folder.
        edits: Files that get a new content.
        moves: Folders that go elsewhere.
        files: Files that are copied beside their records first.
    """

    folder: Path
    edits: list[Edit] = field(default_factory=list[Edit])
    moves: list[Move] = field(default_factory=list[Move])
    files: list[FileToCopy] = field(default_factory=list[FileToCopy])
    _places: dict[str, int] = field(init=False, default_factory=dict[str, int])
    _away: set[str] = field(init=False, default_factory=set[str])
    _unchecked: list[tuple[Record, str, Record | None]] = field(
        init=False, default_factory=list[tuple[Record, str, Record | None]]
    )

    _ancestors: Ancestors = field(init=False)

    def __post_init__(self) -> None:
        self._ancestors = Ancestors(self.folder)

    def check(self) -> None:
        """Refuse what does not fit a task's schemas. Blocks: call it in a thread.

        Raises:
            InvalidRecord: A record does not fit.
        """
        for record, path, before in self._unchecked:
            self._ancestors.check(record, path, before)
        self._unchecked.clear()

    def _check(self, record: Record, path: str, before: Record | None) -> None:
        """Check a record now, or later if a worker process may have to look at a schema."""
        if isinstance(record, Task | TaskRun):
            self._unchecked.append((record, path, before))
        else:
            self._ancestors.check(record, path, before)

    def save(self, record: R, parent: Record | None = None) -> R:
        """Note a record to be saved and return it as it will be.

        `check` tells whether it fits the schemas of its task.

        Raises:
            InvalidRecord: It cannot be written, or does not fit what is above it.
            StaleRevision: Its file was taken away.
        """
        if record.origin is None:
            path, expected = _new_path(record, parent), None
            below = parent.saved.path if parent else None
            self._check(record, path, None)
            content: bytes | None = new_text(record)
        else:
            path, expected, below = record.origin.path, record.origin.revision, None
            content = self._changed_text(record, record.origin)
        if content is None:
            return record
        self._note(Edit(path, content, expected, below))
        if expected is None:
            self._note_code(record, path)
        self.files += files_to_copy(record, path)
        return record.at(Origin(path, revision_of(content)))

    def _note_code(self, record: Record, path: str) -> None:
        """Note the file of code that a new record has beside it, if it has one."""
        if isinstance(record, EvalConfig) and isinstance(record.properties, CodeEval):
            code = record.properties.code
            if code is not None:
                self._note(Edit(str(folder_of(path) / SCORER_FILE), code.encode("utf-8"), None))

    def _note(self, edit: Edit) -> None:
        """Note an edit; of a file that this change writes already, it is the same one."""
        noted = self._noted(edit.path)
        if noted is None:
            self._places[edit.path] = len(self.edits)
            self.edits.append(edit)
        else:
            self.edits[self._places[edit.path]] = replace(noted, content=edit.content)

    def _noted(self, path: str) -> Edit | None:
        place = self._places.get(path)
        return None if place is None else self.edits[place]

    def delete(self, record: Record) -> Trashed:
        """Note a record to be put into the trash, with all below it.

        Raises:
            AlreadyDeleted: This change puts it there already, or what it lies below.
        """
        label = known_as(dict(record))
        return self._put_away(record.saved.path, record.type_name(), record.id, label)

    def delete_unread(self, path: str) -> Trashed:
        """Note a record to be put into the trash of which only the file is known.

        Raises:
            AlreadyDeleted: This change puts it there already, or what it lies below.
        """
        file = PurePosixPath(path)
        record_id, _, label = file.parent.name.partition(" - ")
        return self._put_away(path, file.stem, record_id, label or record_id)

    def _put_away(self, path: str, kind: str, record_id: str, label: str) -> Trashed:
        folder = folder_of(path)
        if not self._away.isdisjoint(map(str, (folder, *folder.parents))):
            raise AlreadyDeleted(path)
        trashed = trashed_now(kind, record_id, label, str(folder))
        self.put_away(trashed, path)
        return trashed

    def put_away(self, trashed: Trashed, holds: str | None = None) -> None:
        """Note a folder to be put into the trash; where a file is told, it must hold that."""
        path, content = trashed.note
        self.edits.append(Edit(path, content, None))
        self.moves.append(Move(trashed.folder, trashed.place, holds))
        self._away.add(trashed.folder)

    def _changed_text(self, record: Record, origin: Origin) -> bytes | None:
        """Return the file's new bytes; None where nothing changes."""
        noted = self._noted(origin.path)
        if noted and revision_of(noted.content) == origin.revision:
            held = noted.content
        else:
            held = self._on_disk(origin.path)
        if revision_of(held) != origin.revision:
            # The commit, which looks again under the lock, says who and when.
            return new_text(record)
        known = parse_record(type(record), held, origin.path)
        self._check(record, origin.path, known)
        before: dict[str, JsonValue] = known.model_dump(mode="json")
        after: dict[str, JsonValue] = record.model_dump(mode="json")
        content = _encoded(record, lambda: patch_json(held.decode("utf-8"), before, after))
        return None if content == held else content

    def _on_disk(self, path: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError as error:
            raise StaleRevision(path, None, None) from error


def new_text(record: Record) -> bytes:
    """Return the bytes of a new record's file.

    Raises:
        InvalidRecord: It has a number that JSON cannot hold, or half a character.
    """
    data: dict[str, JsonValue] = record.model_dump(mode="json")
    return _encoded(record, lambda: write_json(data))


def _new_path(record: Record, parent: Record | None) -> str:
    if parent is None:
        raise InvalidRecord(record.type_name(), "a new record needs the parent to save it below")
    place = place_of(type(record))
    if type(parent) not in place.parents:
        allowed = ", ".join(kind_word(kind.type_name()) for kind in place.parents)
        raise InvalidRecord(record.type_name(), f"its parent must be a {allowed}")
    own = folder_name(record.id, name_of(record))
    return str(folder_of(parent.saved.path) / place.folder / own / place.file_name)


def _encoded(record: Record, text: Callable[[], str]) -> bytes:
    try:
        return text().encode("utf-8")
    except ValueError as error:
        raise InvalidRecord(record.type_name(), str(error)) from error
