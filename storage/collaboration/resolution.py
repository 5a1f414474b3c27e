"""The resolution of a conflict: the edits that a person's decision makes."""

from pathlib import Path, PurePosixPath

from storage.changes import Change
from storage.collaboration.conflict_files import FOLDER
from storage.collaboration.conflicts import Choice, Conflict
from storage.collaboration.record_changes import Document, document_of
from storage.commits.commit_log import FileEdit, Move
from storage.commits.trash import TrashEntry, new_trash_entry
from storage.errors import Refusal
from storage.format.layout import place_named
from storage.format.record_text import read_record, revision_of
from storage.records.names import display_label
from storage.text.json_text import patch_json


def resolution(project: Path, conflict: Conflict, number: int) -> Change:
    """Return the edits that decide a conflict.

    Args:
        project: The project's folder.
        conflict: The conflict.
        number: 0 for its first choice, 1 for the second, 2 for the third if it has one.

    Raises:
        Refusal: The conflict has no choice of this number.
    """
    if not 0 <= number < len(conflict.choices):
        raise Refusal(
            "The conflict has no choice {number}. Choose by the number: {options}.",
            number=number + 1,
            options=[f"{at}: {text}" for at, text in enumerate(conflict.options, start=1)],
        )
    choice = conflict.choices[number]
    change = Change(project)
    change.moves.append(Move(f"{FOLDER}/{conflict.id}.json", f".trash/decided/{conflict.id}.json"))
    file = project / conflict.path
    if conflict.other is not None:
        _choose_version(change, conflict.path, conflict.other, keep_other=number == 1)
    elif not conflict.field:
        if choice.absent and file.is_file():
            change.move_to_trash(_deletion(project, conflict.path))
    elif file.is_file():
        content = file.read_bytes()
        document = document_of(content) or {}
        result = document
        for field, value in conflict.values_of(number):
            result = with_choice(result, field, value)
        change.edits.append(record_edit(conflict.path, content, document, result))
    return change


def record_edit(path: str, content: bytes, old: Document, new: Document) -> FileEdit:
    """Return the edit of a record's file that turns one object into another.

    Raises:
        UnreadableRecord: The result is no valid record.
    """
    result = patch_json(content.decode("utf-8"), old, new).encode("utf-8")
    place = place_named(PurePosixPath(path).name)
    if place is not None:
        read_record(place.record, result, path)
    return FileEdit(path, result, revision_of(content))


def with_choice(document: Document, field: tuple[str, ...], choice: Choice) -> Document:
    """Return an object with one field set to a choice."""
    key, rest = field[0], field[1:]
    result = dict(document)
    if rest:
        inner = document.get(key)
        result[key] = with_choice(inner if isinstance(inner, dict) else {}, rest, choice)
    elif choice.absent:
        result.pop(key, None)
    else:
        result[key] = choice.value
    return result


def _choose_version(change: Change, path: str, other: str, *, keep_other: bool) -> None:
    file, other_file = change.folder / path, change.folder / other
    if not other_file.is_file():
        return
    if keep_other:
        revision = revision_of(file.read_bytes()) if file.is_file() else None
        change.edits.append(FileEdit(path, other_file.read_bytes(), revision))
    change.moves.append(Move(other, f".trash/decided/{PurePosixPath(other).name}"))


def _deletion(project: Path, path: str) -> TrashEntry:
    document = document_of((project / path).read_bytes()) or {}
    record_id = str(document.get("id", ""))
    kind, folder = PurePosixPath(path).stem, str(PurePosixPath(path).parent)
    return new_trash_entry(kind, record_id, display_label(document), folder)
