"""Find the files and folders in a project that cloud drives left beside records."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, cast

from storage.files import read_plain
from storage.format.copies import copied_folder, copied_name, copy_order, is_spare_record
from storage.format.layout import (
    PROJECT_FILE,
    Place,
    children_of,
    folders_above,
    place_at,
    place_of,
)
from storage.records import Project

_ID_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class ConflictCopy:
    """A copy of a record's file, of a file beside it, or of its folder with all below.

    Attributes:
        path: The copy's file or folder, within the project.
        original: The file or folder that it copies; the file may be missing.
        record: The file of the record that both belong to.
        is_folder: Whether it is a folder.
    """

    path: str
    original: str
    record: str
    is_folder: bool


def folder_copy(path: str, original: str) -> ConflictCopy:
    """Return the copy of a folder, by the record's files in both."""
    folder = str(PurePosixPath(path).parent)
    return ConflictCopy(folder, str(PurePosixPath(original).parent), original, is_folder=True)


def copies_below(project: Path, folder_copies: Collection[str]) -> list[ConflictCopy]:
    """Return the copies of files in a project, and of folders that have no record of their own.

    Args:
        project: The project's folder.
        folder_copies: Folders that are copies already; what lies below them is not looked at.
    """
    return sorted(
        _in_record(project, "", place_of(Project), frozenset(folder_copies)),
        key=lambda copy: copy.path,
    )


def _in_record(
    project: Path, folder: str, place: Place, folder_copies: frozenset[str]
) -> Iterator[ConflictCopy]:
    """Yield the copies in a record's folder and below it."""
    prefix = f"{folder}/" if folder else ""
    names = _names(f"{project}/{folder}")
    files = {name for name, is_folder in names.items() if not is_folder}
    yield from copies_among(prefix, files, place)
    children = {child.folder: child for child in children_of(place.record)}
    for name in names:
        if names[name] and name in children:
            yield from _in_container(project, f"{prefix}{name}", children[name], folder_copies)
        elif names[name] and (original := copied_folder(name, children)):
            path = f"{prefix}{name}"
            if _holds_records(f"{project}/{path}", children[original]):
                record = f"{prefix}{place.file_name}"
                yield ConflictCopy(path, f"{prefix}{original}", record, is_folder=True)


def copies_among(prefix: str, files: Collection[str], place: Place) -> Iterator[ConflictCopy]:
    """Yield the copies among the files of a record's folder.

    Args:
        prefix: The folder within the project, with a slash; "" for the project's own.
        files: The names of all its files.
        place: The kind of the record.
    """
    record = f"{prefix}{place.file_name}"
    for name in files:
        if name == place.file_name:
            continue
        if is_spare_record(name, place.file_name):
            yield ConflictCopy(f"{prefix}{name}", record, record, is_folder=False)
        elif place.file_name != PROJECT_FILE and (original := copied_name(name, files)):
            yield ConflictCopy(f"{prefix}{name}", f"{prefix}{original}", record, is_folder=False)


def _in_container(
    project: Path, folder: str, place: Place, folder_copies: frozenset[str]
) -> Iterator[ConflictCopy]:
    """Yield the copies in a folder of the folders of one kind of record."""
    names = [name for name, is_folder in _names(f"{project}/{folder}").items() if is_folder]
    parts: list[str] = []
    records: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        path = f"{folder}/{name}"
        if path in folder_copies:
            continue
        if os.path.lexists(f"{project}/{path}/{place.file_name}"):
            records.setdefault(name.partition(" - ")[0], path)
        else:
            parts.append(name)
        yield from _in_record(project, path, place, folder_copies)
    for name in parts:
        original = next((at for key, at in records.items() if _belongs_to(name, key)), None)
        if original is not None:
            record = f"{original}/{place.file_name}"
            yield ConflictCopy(f"{folder}/{name}", original, record, is_folder=True)


def _holds_records(container: str, place: Place) -> bool:
    """Whether a folder holds folders of records of a kind."""
    return any(
        is_folder and os.path.lexists(f"{container}/{name}/{place.file_name}")
        for name, is_folder in _names(container).items()
    )


def _belongs_to(name: str, record_id: str) -> bool:
    """Whether the name of a folder without a record begins with a record's id."""
    return record_id.isdigit() and name.startswith(record_id)


def _names(folder: str) -> Mapping[str, bool]:
    """Return the names in a folder, each with whether it is a folder; links are left out."""
    names: dict[str, bool] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink():
                names[entry.name] = entry.is_dir(follow_symlinks=False)
    return names


def copied_paths(project: Path, new_paths: Sequence[str], paths: Sequence[str]) -> set[str]:
    """Return those of some new files that are copies, or lie in the folder of one.

    Args:
        project: The project's folder.
        new_paths: The new files, within the project.
        paths: The other files.
    """
    files: dict[str, set[str]] = {}
    for path in (*paths, *new_paths):
        folder, _, name = path.rpartition("/")
        files.setdefault(folder, set()).add(name)
    copies: set[str] = set()
    for folder in dict.fromkeys(path.rpartition("/")[0] for path in new_paths):
        place = _place_of_folder(folder)
        if place is not None:
            prefix = f"{folder}/" if folder else ""
            copies |= {copy.path for copy in copies_among(prefix, files[folder], place)}
    folders = _copied_folders(project, new_paths, paths) | _copied_containers(new_paths)
    return {
        path for path in new_paths if path in copies or not folders.isdisjoint(folders_above(path))
    }


def _place_of_folder(folder: str) -> Place | None:
    """Return the kind of record that a folder is of; None for a folder of no record."""
    inside = PurePosixPath(folder)
    return None if len(inside.parts) % 2 else place_at(inside)


def _copied_folders(project: Path, new_paths: Sequence[str], paths: Sequence[str]) -> set[str]:
    """Return the new folders that copy one beside them; few files are read."""
    by_container: dict[str, dict[str, set[str]]] = {}
    for folder in _record_folders((*paths, *new_paths)):
        container, _, name = folder.rpartition("/")
        by_container.setdefault(container, {}).setdefault(_id_hint(name), set()).add(folder)
    copies: set[str] = set()
    for folder in _record_folders(new_paths):
        container, _, name = folder.rpartition("/")
        by_id, hint = by_container[container], _id_hint(name)
        if hint.isdigit() and len(by_id[hint]) == 1:
            continue
        place = place_at(PurePosixPath(folder))
        if place is None:
            continue
        record_id = _id_at(project, f"{folder}/{place.file_name}") or hint
        siblings = (by_id.get(record_id, set()) | by_id[hint]) - {folder}
        own = copy_order(f"{folder}/{place.file_name}", record_id)
        for sibling in siblings:
            file = f"{sibling}/{place.file_name}"
            if _id_at(project, file) == record_id and copy_order(file, record_id) < own:
                copies.add(folder)
    return copies


def _copied_containers(new_paths: Sequence[str]) -> set[str]:
    """Return the folders that copy a folder of records, such as "runs 2"."""
    copies: set[str] = set()
    for path in new_paths:
        parts = path.split("/")
        for end in range(0, len(parts) - 2, 2):
            place = place_at(PurePosixPath(*parts[:end]))
            if place is None:
                break
            children = [child.folder for child in children_of(place.record)]
            if parts[end] not in children and copied_folder(parts[end], children):
                copies.add("/".join(parts[: end + 1]))
    return copies


def _record_folders(paths: Sequence[str]) -> Iterable[str]:
    """Return the folders of records that files lie in, in order of their first file."""
    folders: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        for end in range(2, len(parts), 2):
            folders["/".join(parts[:end])] = None
    return folders


def _id_hint(name: str) -> str:
    """Return the id that the name of a folder begins with; "" if it begins with none."""
    return name[:_ID_LENGTH] if name[:_ID_LENGTH].isdecimal() else ""


def _id_at(project: Path, path: str) -> str | None:
    """Return the id that a record's file says; None if it says none."""
    try:
        document: object = json.loads(read_plain(f"{project}/{path}"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    record_id = cast("dict[str, object]", document).get("id")
    return record_id if isinstance(record_id, str) else None
