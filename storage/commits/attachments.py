"""Files that lie beside their record: copied in when it is saved, and found again.

They are in the record's folder, so they move, travel and go to the trash with it.
"""

import shutil
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.atomic_write import new_file, remove_empty_folders
from storage.border import check_links, check_path
from storage.errors import RecordNotFound, UnsafePath, system_reason
from storage.format.layout import folder_of
from storage.records import Attachment, ChunkedDocument, Document, Extraction, Record
from storage.refusals import invalid_record


@dataclass(frozen=True, slots=True)
class FileToCopy:
    """A file that a person gave.

    Attributes:
        kind: The kind of record that it belongs to.
        source: Where it is now.
        target: Where it goes, within the project.
    """

    kind: str
    source: Path
    target: str


def attachments_of(record: Record) -> tuple[Attachment, ...]:
    """Return the files that a record names."""
    match record:
        case Document():
            return (record.original_file.attachment,)
        case Extraction():
            return (record.output,)
        case ChunkedDocument():
            return tuple(chunk.content for chunk in record.chunks)
        case _:
            return ()


def attached_file(project: Path, record: Record, attachment: Attachment) -> Path:
    """Return where a saved record's file is.

    Raises:
        UnsafePath: It would lie outside of the record's folder, also through a link.
        RecordNotFound: It is not there.
    """
    folder = project / folder_of(record.saved.path)
    file = folder / attachment.path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise UnsafePath(attachment.path)
    check_links(project, [str(folder_of(record.saved.path) / attachment.path)])
    if not file.is_file():
        raise RecordNotFound("attachment", attachment.path)
    return file


def files_to_copy(record: Record, path: str) -> list[FileToCopy]:
    """Return the files that must be copied for a record that is saved at a path."""
    return [
        FileToCopy(record.type_name(), attachment.source, str(folder_of(path) / attachment.path))
        for attachment in attachments_of(record)
        if attachment.source is not None
    ]


@contextmanager
def files_beside(project: Path, files: Sequence[FileToCopy]) -> Generator[None]:
    """Copy files to their records' folders; remove them again if the block fails.

    A file that exists already is left as it is, because its name holds a random number.

    Raises:
        StorageError: One cannot be read, or is no ordinary file.
        UnsafePath: It would lie elsewhere than beside its record, or behind a link.
        WriteError: The disk refused.
    """
    for file in files:
        check_path(file.target)
    check_links(project, [file.target for file in files])
    targets: list[Path] = []
    try:
        for file in files:
            target = project / file.target
            if not target.exists():
                targets.append(target)
                _copy(file, target)
        yield
    except BaseException:
        for target in targets:
            target.unlink(missing_ok=True)
            remove_empty_folders(target.parent, project)
        raise


def _copy(file: FileToCopy, target: Path) -> None:
    try:
        ordinary = stat.S_ISREG(file.source.stat().st_mode)
    except OSError as error:
        raise invalid_record(file.kind, f"{file.source}: {system_reason(error)}") from error
    if not ordinary:
        raise invalid_record(file.kind, f"{file.source} is no file")
    with new_file(target) as out, file.source.open("rb") as source:
        shutil.copyfileobj(source, out)
