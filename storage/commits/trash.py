"""The trash of a project: deleted records until they are restored or removed for good.

It lies in the project's folder, so that deleting is one rename, and keeps itself out of git.
"""

import json
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from storage.atomic_write import write_atomically
from storage.border import TRASH, Reach, check_links, check_path, has_links
from storage.errors import RecordNotFound, UnsafePath
from storage.files import read_plain
from storage.format.copies import KIND
from storage.records.record import login_name, new_id

FOLDER = TRASH
UNWRITTEN = f"{FOLDER}/unwritten"
"""What processes that died would have written over others' newer work."""
UNWRITTEN_REASON = (
    "a program died while it wrote these files, and another has changed some of them since. The "
    "newer work stayed, and what the dead one would have written is kept here: take over what is "
    "missing, then empty the trash"
)
_NOTE = "deleted.json"
_CONTENT = "content"
_KIND = re.compile(r"\w+")
_LONGEST_NOTE = 1 << 20


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """A deleted record.

    Attributes:
        key: Its name in the trash.
        kind: Its kind, such as "task_run".
        label: What people know it by: its name, or how it begins.
        folder: Where its folder was, within the project.
        deleted_at: When it was deleted.
        deleted_by: Who deleted it.
    """

    key: str
    kind: str
    label: str
    folder: str
    deleted_at: datetime
    deleted_by: str

    @property
    def place(self) -> str:
        """Where its folder is now, within the project."""
        return str(PurePosixPath(FOLDER, self.key, _CONTENT))

    @property
    def note(self) -> tuple[str, bytes]:
        """The file that says all this, and its content."""
        data = {
            "kind": self.kind,
            "label": self.label,
            "folder": self.folder,
            "deleted_at": self.deleted_at.isoformat(),
            "deleted_by": self.deleted_by,
        }
        path = PurePosixPath(FOLDER, self.key, _NOTE)
        return str(path), json.dumps(data, ensure_ascii=False, indent=2).encode()


def new_trash_entry(kind: str, record_id: str, label: str, folder: str) -> TrashEntry:
    """Return the entry of a record that the current person deletes now."""
    deleted_at = datetime.now(UTC)
    key = f"{deleted_at:%Y%m%dT%H%M%S}-{record_id}-{new_id()[:4]}"
    return TrashEntry(key, kind, label, folder, deleted_at, login_name())


def keep_out_of_git(project: Path) -> None:
    """Make the trash ignore itself.

    Raises:
        UnsafePath: The trash is a link, or its `.gitignore` is.
    """
    check_links(project, [f"{FOLDER}/.gitignore"])
    file = project / FOLDER / ".gitignore"
    if not file.exists():
        write_atomically(file, b"*\n")


def list_trash(project: Path) -> list[TrashEntry]:
    """Return the records in the trash, the latest first."""
    if has_links(project, FOLDER):
        return []
    notes = (project / FOLDER).glob(f"*/{_NOTE}")
    entries = [entry for note in notes if (entry := _read_note(note)) is not None]
    return sorted(entries, key=lambda entry: entry.deleted_at, reverse=True)


def _read_note(note: Path) -> TrashEntry | None:
    """Return what a note says; None for one that is no note of ours, or names no record's place."""
    if note.parent.is_symlink():
        return None
    try:
        data: dict[str, object] = json.loads(read_plain(note, _LONGEST_NOTE))
        texts = [str(data[key]) for key in ("kind", "label", "folder", "deleted_by")]
        when = datetime.fromisoformat(str(data["deleted_at"])).astimezone(UTC)
        kind, label, folder, who = texts
        check_path(folder, reach_of(kind))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError, UnsafePath):
        return None
    if not _KIND.fullmatch(kind):
        return None
    return TrashEntry(note.parent.name, kind, label, folder, when, who)


def reach_of(kind: str) -> Reach:
    """Return where records of a kind may lie; a copied file may lie beside project.kiln too."""
    return Reach.SHARED if kind == KIND else Reach.RECORDS


def find_trash_entry(project: Path, key: str) -> TrashEntry:
    """Return what is in the trash under a key.

    Raises:
        RecordNotFound: Nothing is.
    """
    entries = {entry.key: entry for entry in list_trash(project)}
    if key not in entries:
        raise RecordNotFound("deleted record", key, list(entries))
    return entries[key]


def find_by_folder(project: Path, folder: str) -> TrashEntry | None:
    """Return what is in the trash that lay in this folder, the latest; None for nothing."""
    return next((entry for entry in list_trash(project) if entry.folder == folder), None)


def list_unwritten(project: Path) -> list[str]:
    """Return the folders, within the project, with what was not written over newer work."""
    if has_links(project, UNWRITTEN):
        return []
    return sorted(f"{UNWRITTEN}/{entry.name}" for entry in (project / UNWRITTEN).glob("*/"))


def empty_trash(project: Path) -> int:
    """Remove all records in the trash for good; return how many.

    No change may be under way: its files are there too.

    Raises:
        UnsafePath: The trash is a link: what it leads to is not the project's.
    """
    check_links(project, [FOLDER])
    entries = list_trash(project)
    for folder in (project / FOLDER).glob("*/"):
        if not folder.is_symlink():
            shutil.rmtree(folder)
    return len(entries)


def remove_for_good(project: Path, path: str) -> None:
    """Remove a folder of the trash as far as possible; nothing where a link leads to it."""
    if not has_links(project, path):
        shutil.rmtree(project / path, ignore_errors=True)
