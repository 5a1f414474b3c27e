"""The edits of an undo: additions to the trash, deletions restored, changes reversed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from storage.changes import Change
from storage.collaboration.conflict_files import FOLDER as CONFLICTS
from storage.collaboration.record_changes import document_of, field_name, noun
from storage.collaboration.resolution import record_edit
from storage.collaboration.three_way_merge import merge_lines, merge_objects
from storage.commits.commit_log import FileEdit, Move
from storage.commits.trash import find_by_folder, new_trash_entry
from storage.errors import Refusal
from storage.format.layout import place_named
from storage.format.record_text import revision_of
from storage.records.names import display_label
from storage.text.json_text import same


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A file of a change.

    Attributes:
        path: The file, within the project.
        old: Its content before the change; None if it did not exist.
        new: Its content after the change; None if it was deleted.
        current: Its content now; None if it does not exist.
    """

    path: str
    old: bytes | None
    new: bytes | None
    current: bytes | None

    @property
    def is_record(self) -> bool:
        """Whether it is the file of a record."""
        return self.path.endswith(".kiln")

    @property
    def is_conflict(self) -> bool:
        """Whether it is the file of a conflict."""
        return self.path.startswith(f"{CONFLICTS}/")

    @property
    def has_summary(self) -> bool:
        """Whether a summary names it by its record or conflict, and not by its path."""
        return self.is_record or self.is_conflict

    @property
    def label(self) -> str:
        """The record's kind and name, or the file's name."""
        if not self.is_record:
            return PurePosixPath(self.path).name
        document = document_of(self.current) or document_of(self.old) or {}
        return f"the {noun(PurePosixPath(self.path).stem)} {display_label(document)}"


def trash_additions(plan: Change, additions: Sequence[FileVersion]) -> None:
    """Put what a change added into the trash.

    Raises:
        Refusal: It was changed later, or something was added below it.
    """
    for file in additions:
        if file.current != file.new:
            raise _later_change(f"{file.label} was changed after it was added")
    paths = {file.path for file in additions}
    records = [
        file for file in additions if file.is_record and len(PurePosixPath(file.path).parts) > 1
    ]
    folders = {str(PurePosixPath(file.path).parent) for file in records}
    for record in records:
        folder = PurePosixPath(record.path).parent
        if any(str(parent) in folders for parent in folder.parents):
            continue
        files = (file for file in (plan.folder / folder).rglob("*") if file.is_file())
        later = [file for file in files if file.relative_to(plan.folder).as_posix() not in paths]
        if later:
            raise _later_change(f"{record.label} has had {len(later)} files added below it since")
        document = document_of(record.current) or {}
        record_id = str(document.get("id", ""))
        kind = PurePosixPath(record.path).stem
        plan.move_to_trash(new_trash_entry(kind, record_id, display_label(document), str(folder)))
    for file in additions:
        if not any(str(parent) in folders for parent in PurePosixPath(file.path).parents):
            plan.moves.append(Move(file.path, f".trash/undone/{file.path}"))


def restore_deletions(plan: Change, deletions: Sequence[FileVersion]) -> None:
    """Write what a change deleted, at its old place.

    Raises:
        Refusal: Something else is at its place, or the record that it lay below is gone.
    """
    paths = {file.path for file in deletions}
    for file in deletions:
        if file.current is not None:
            raise _later_change(f"{file.label} is there again, and differs from what was deleted")
        parent = _parent_file(file.path)
        if parent and parent not in paths and not (plan.folder / parent).is_file():
            raise _later_change(f"what {file.label} lay below was deleted too")
        if file.old is not None:
            plan.edits.append(FileEdit(file.path, file.old, None))
    for folder in {str(PurePosixPath(path).parent) for path in paths if path.endswith(".kiln")}:
        entry = find_by_folder(plan.folder, folder)
        if entry is not None:
            place = str(PurePosixPath(entry.place).parent)
            plan.moves.append(Move(place, f".trash/undone/{entry.key}"))


def reverse_edit(file: FileVersion) -> FileEdit | None:
    """Return the edit that reverses the change of one file; None if it is reversed already.

    Raises:
        Refusal: The same fields were changed again later.
    """
    old, new, current = file.old or b"", file.new or b"", file.current
    if current is None:
        raise _later_change(f"{file.label} was deleted since")
    if current == old:
        return None
    if current == new:
        return FileEdit(file.path, old, revision_of(current))
    if file.is_record:
        return _merge_edit(file, current)
    if file.path.endswith(".jsonl"):
        texts = [part.decode("utf-8", "surrogateescape") for part in (new, current, old)]
        result = merge_lines(*texts).encode("utf-8", "surrogateescape")
        return None if result == current else FileEdit(file.path, result, revision_of(current))
    raise _later_change(f"{PurePosixPath(file.path).name} was changed again since")


def _merge_edit(file: FileVersion, current: bytes) -> FileEdit | None:
    """Return the edit of a record that was changed later in other fields."""
    old, new = document_of(file.old) or {}, document_of(file.new) or {}
    document = document_of(current) or {}
    result, conflicts = merge_objects(new, document, old)
    if conflicts:
        fields = ", ".join(dict.fromkeys(field_name(conflict.field) for conflict in conflicts))
        raise _later_change(f"the {fields} of {file.label} was changed again since")
    return None if same(document, result) else record_edit(file.path, current, document, result)


def _parent_file(path: str) -> str | None:
    """Return the file of the record that a record lies below; None if there is none."""
    place = place_named(PurePosixPath(path).name)
    if place is None or not place.parents:
        return None
    folder = PurePosixPath(path).parents[2]
    return str(folder / f"{place.parents[0].type_name()}.kiln")


def _later_change(reason: str) -> Refusal:
    return Refusal(
        "This cannot be undone alone: {reason}. Nothing was changed. Undo the later change first, "
        "or ask the person for the right value and set it.",
        reason=reason,
    )
