"""The trash of a project: what was deleted, until it is put back or emptied.

It lies in the project's folder, so that deleting is one rename, and keeps itself out of git.
"""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from storage.errors import RecordNotFound
from storage.files import write_atomically
from storage.records.record import login_name, new_id

FOLDER = ".trash"
PENDING = f"{FOLDER}/pending"
"""What is being written to the project, or was by processes that died."""
UNWRITTEN = f"{FOLDER}/unwritten"
"""What processes that died would have written over others' newer work."""
_NOTE = "deleted.json"
_CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Trashed:
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


def trashed_now(kind: str, record_id: str, label: str, folder: str) -> Trashed:
    """Return how a record is kept that is deleted now, by whoever is at work."""
    now = datetime.now(UTC)
    key = f"{now:%Y%m%dT%H%M%S}-{record_id}-{new_id()[:4]}"
    return Trashed(key, kind, label, folder, now, login_name())


def keep_out_of_git(project: Path) -> None:
    """Make the trash ignore itself."""
    file = project / FOLDER / ".gitignore"
    if not file.exists():
        write_atomically(file, b"*\n")


def list_trash(project: Path) -> list[Trashed]:
    """Return what is in the trash, the latest first."""
    found: list[Trashed] = []
    for note in (project / FOLDER).glob(f"*/{_NOTE}"):
        with suppress(OSError, ValueError, KeyError, TypeError):  # no note of ours any more
            data: dict[str, str] = json.loads(note.read_bytes())
            when = datetime.fromisoformat(data["deleted_at"]).astimezone(UTC)
            key, who = note.parent.name, data["deleted_by"]
            found.append(Trashed(key, data["kind"], data["label"], data["folder"], when, who))
    return sorted(found, key=lambda one: one.deleted_at, reverse=True)


def find_trashed(project: Path, key: str) -> Trashed:
    """Return what is in the trash under a key.

    Raises:
        RecordNotFound: Nothing is.
    """
    for one in list_trash(project):
        if one.key == key:
            return one
    raise RecordNotFound("deleted record", key)


def find_by_folder(project: Path, folder: str) -> Trashed | None:
    """Return what is in the trash that lay in this folder, the latest; None for nothing."""
    return next((one for one in list_trash(project) if one.folder == folder), None)


def list_unwritten(project: Path) -> list[str]:
    """Return the folders, within the project, with what was not written over newer work."""
    return sorted(f"{UNWRITTEN}/{one.name}" for one in (project / UNWRITTEN).glob("*/"))


def empty_trash(project: Path) -> int:
    """Take away for good what is in the trash; return how many records that were.

    No change may be under way: its files are there too.
    """
    found = list_trash(project)
    for folder in (project / FOLDER).glob("*/"):
        if not folder.is_symlink():
            shutil.rmtree(folder)
    return len(found)
