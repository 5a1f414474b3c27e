"""Restore deleted records, without overwriting anything."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from storage.commits.commit_log import CommitLog, Move
from storage.commits.trash import (
    FOLDER,
    TrashEntry,
    find_by_folder,
    find_trash_entry,
    reach_of,
    remove_for_good,
)
from storage.errors import Refusal
from storage.format.copies import KIND
from storage.format.layout import place_named, place_of
from storage.text.kind_words import kind_word

_UNDONE = "undone"


def restore(project: Path, log: CommitLog, key: str) -> TrashEntry:
    """Restore a record from the trash to its place. Hold the project's lock meanwhile.

    If its folder holds other files, they stay; a file that differs from one of them stays in the
    trash.

    Raises:
        RecordNotFound: Nothing of this key is in the trash.
        Refusal: What it lay below is not there, or it is there again already.
    """
    entry = find_trash_entry(project, key)
    _check_parents(project, entry)
    target = project / entry.folder
    is_file = entry.kind == KIND and os.path.lexists(target)
    if is_file or (target / f"{entry.kind}.kiln").exists():
        raise Refusal(
            "{record} was not restored, because it exists again: somebody else kept it or restored "
            "it. To have the version in the trash, delete it and restore that one. Nothing has "
            "been changed.",
            record=_capitalize(_describe(entry)),
        )
    content = project / entry.place
    moves: list[Move] = []
    leftover_place = PurePosixPath(FOLDER, _UNDONE, entry.key)
    if _fits(project, content, target, moves):
        moves.append(Move(str(PurePosixPath(FOLDER, entry.key)), str(leftover_place)))
    log.commit([], moves, reach=reach_of(entry.kind))
    remove_for_good(project, str(leftover_place))
    return entry


def _check_parents(project: Path, entry: TrashEntry) -> None:
    """Refuse what would lie below a record that is not there; say which is to come first."""
    missing = [file for file in _parents(entry) if not (project / file).is_file()]
    if not missing:
        return
    parent = PurePosixPath(missing[-1])
    parent_entry = find_by_folder(project, str(parent.parent))
    name = _describe(parent_entry) if parent_entry else f"the {_words(parent.stem)} it lay below"
    raise _parent_missing(_describe(entry), name, parent_entry.key if parent_entry else None)


def _parent_missing(record: str, parent: str, key: str | None) -> Refusal:
    """Return the error for a record whose parent does not exist; the key is the parent's."""
    if key is None:
        return Refusal(
            "{record} was not restored, because its parent does not exist. Bring back {parent} "
            "first, by undoing its deletion, which the history shows. Nothing has been changed.",
            record=_capitalize(record),
            parent=parent,
        )
    return Refusal(
        "{record} was not restored, because its parent does not exist. Restore {parent} first, by "
        "its key {key}. Nothing has been changed.",
        record=_capitalize(record),
        parent=parent,
        key=key,
    )


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _parents(entry: TrashEntry) -> Iterator[str]:
    """Yield the files of the records that a deleted one lay below, the nearest first."""
    folder = PurePosixPath(entry.folder)
    place = place_named(f"{entry.kind}.kiln")
    while place is not None and place.parents and len(folder.parts) > len(("tasks", "one")):
        place, folder = place_of(place.parents[0]), folder.parent.parent
        yield str(folder / place.file_name)


def _fits(project: Path, source: Path, target: Path, moves: list[Move]) -> bool:
    """Note the moves of all whose place is free; return whether nothing else must be kept."""
    if not os.path.lexists(target):
        if os.path.lexists(source):
            pair = (path.relative_to(project).as_posix() for path in (source, target))
            moves.append(Move(*pair))
        return True
    if source.is_symlink() or target.is_symlink():
        return False
    if source.is_dir() and target.is_dir():
        inside = sorted(source.iterdir())
        fitting = [_fits(project, child, target / child.name, moves) for child in inside]
        return all(fitting)
    return source.is_file() and target.is_file() and source.read_bytes() == target.read_bytes()


def _describe(entry: TrashEntry) -> str:
    return f"the {_words(entry.kind)} '{entry.label}'"


def _words(kind: str) -> str:
    return kind_word(kind).replace("_", " ")
