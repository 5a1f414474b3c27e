"""The files of open conflicts, in the project's folder `questions`.

The file of a conflict is the same on every machine that detects it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from pydantic import JsonValue, ValidationError

from storage.border import check_links, has_links
from storage.collaboration.conflicts import Conflict, as_choice, choice_at
from storage.collaboration.record_changes import Document, document_of, noun
from storage.collaboration.three_way_merge import ABSENT, FieldConflict
from storage.errors import RecordNotFound, UnsafePath
from storage.files import read_plain
from storage.format.layout import PROJECT_FILE
from storage.records.names import display_label
from storage.text.json_text import write_json

FOLDER = "questions"


@dataclass(frozen=True, slots=True)
class ConflictFile:
    """The file of a conflict.

    Attributes:
        path: The file, within the project.
        content: Its bytes.
        subject: The record's file, and the keys that lead to the field.
    """

    path: str
    content: bytes
    subject: tuple[str, ...]


def field_conflict_file(path: str, conflict: FieldConflict) -> ConflictFile:
    """Return the file of a conflict of one field.

    Args:
        path: The record's file.
        conflict: The two values.
    """
    is_turned = as_choice(conflict.ours).text > as_choice(conflict.theirs).text
    data: dict[str, JsonValue] = {
        "path": path,
        "field": list(conflict.field),
        "before": as_choice(conflict.base).model_dump(mode="json"),
        "choices": _sides(conflict, is_turned=is_turned),
    }
    if conflict.companions:
        data["also"] = [
            {"field": list(companion.field), "choices": _sides(companion, is_turned=is_turned)}
            for companion in conflict.companions
        ]
    return _file(data, (path, *conflict.field))


def _sides(conflict: FieldConflict, *, is_turned: bool) -> list[JsonValue]:
    """Return both values in an order that is the same for both sides."""
    sides = [conflict.ours, conflict.theirs]
    if is_turned:
        sides.reverse()
    return [as_choice(side).model_dump(mode="json") for side in sides]


def deletion_conflict_file(path: str) -> ConflictFile:
    """Return the file of the conflict between a record's deletion and its change."""
    return field_conflict_file(path, FieldConflict((), "keep", ABSENT, "keep"))


def version_conflict_file(path: str, other: str) -> ConflictFile:
    """Return the file of the conflict between two versions of a file beside a record."""
    texts = [f"the one in {PurePosixPath(name).name}" for name in (path, other)]
    data: dict[str, JsonValue] = {
        "path": path,
        "field": [],
        "other": other,
        "before": as_choice(ABSENT).model_dump(mode="json"),
        "choices": [as_choice(text).model_dump(mode="json") for text in texts],
    }
    return _file(data, (path,))


def _file(data: Mapping[str, JsonValue], subject: tuple[str, ...]) -> ConflictFile:
    key = blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=6).hexdigest()
    content = write_json({"id": key, **data}).encode()
    return ConflictFile(f"{FOLDER}/{key}.json", content, subject)


def open_conflicts(project: Path) -> list[Conflict]:
    """Return the open conflicts, with the values that the records hold now.

    Other files in the folder are ignored. A conflict about a record or file that does not exist
    is left out; the record may come back from the trash.
    """
    conflicts: list[Conflict] = []
    if has_links(project, FOLDER):
        return conflicts
    for file in sorted((project / FOLDER).glob("*.json")):
        try:
            conflict = Conflict.model_validate_json(read_plain(file))
            check_links(project, filter(None, (conflict.path, conflict.other)))
            record = _record_file(project, conflict.path)
            content = read_plain(record)
        except (ValidationError, UnsafePath, OSError):
            continue
        paths = [path for path in (conflict.path, conflict.other) if path is not None]
        if conflict.id == file.stem and all((project / path).is_file() for path in paths):
            conflicts.append(_current(conflict, record.stem, document_of(content) or {}))
    return conflicts


def open_conflict(project: Path, key: str) -> Conflict:
    """Return an open conflict by its id.

    Raises:
        RecordNotFound: No open conflict has this id.
    """
    conflicts = {conflict.id: conflict for conflict in open_conflicts(project)}
    if key not in conflicts:
        raise RecordNotFound("conflict", key, list(conflicts))
    return conflicts[key]


def _record_file(project: Path, path: str) -> Path:
    """Return the record's file, or the file of the record that a file lies beside."""
    file = project / path
    if file.suffix == ".kiln":
        return file
    folders = (project / folder for folder in PurePosixPath(path).parents)
    records = (record for folder in folders for record in sorted(folder.glob("*.kiln")))
    return next(records, project / PROJECT_FILE)


def _current(conflict: Conflict, kind: str, document: Document) -> Conflict:
    """Return a conflict with its record's name; a value set since then is a third choice."""
    name = f"the {noun(kind)} '{display_label(document)}'"
    conflict = conflict.model_copy(update={"record_name": name})
    values = [
        (field, choice_at(document, field))
        for field, _ in (conflict.values_of(0) if conflict.field else ())
    ]
    if not values or values in [conflict.values_of(number) for number in range(2)]:
        return conflict
    companions = [
        companion.model_copy(update={"choices": (*companion.choices, choice)})
        for companion, (_, choice) in zip(conflict.companions, values[1:], strict=True)
    ]
    choices = (*conflict.choices, values[0][1])
    return conflict.model_copy(update={"choices": choices, "companions": tuple(companions)})
