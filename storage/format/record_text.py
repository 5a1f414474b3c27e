"""Read a record from the bytes of its file."""

import hashlib
import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from storage.errors import CorruptRecord, UnreadableRecord
from storage.records import FromDisk, Origin, Record
from storage.records.record import FORMAT_VERSION, first_fault

R = TypeVar("R", bound=Record)


def read_record(kind: type[R], content: bytes, path: str) -> R:
    """Read a record from a file's bytes.

    Args:
        kind: The model that the file's name promises.
        content: The bytes.
        path: The file, within the project; kept as the record's origin.

    Raises:
        CorruptRecord: They are none of this kind.
        UnreadableRecord: A newer program wrote them.
    """
    record = parse_record(kind, content, path)
    record.set_origin(Origin(path, revision_of(content)))
    return record


def parse_record(kind: type[R], content: bytes, path: str) -> R:
    """Read a record that is not to be changed: it does not know where it came from.

    Raises:
        CorruptRecord: The bytes are none of this kind.
        UnreadableRecord: A newer program wrote them.
    """
    try:
        record = kind.model_validate_json(content, context=FromDisk())
    except ValidationError as error:
        raise _reason(kind, content, path, error) from error
    if record.v > FORMAT_VERSION:
        raise _newer_format(path, record.v)
    return record


def revision_of(content: bytes) -> str:
    """Return the fingerprint of a file's bytes."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _reason(
    kind: type[Record], content: bytes, path: str, error: ValidationError
) -> UnreadableRecord:
    """Say why the bytes are no record of this kind."""
    if not content.strip():
        return CorruptRecord(path, "it is empty")
    try:
        data: JsonValue = json.loads(content)
    except (ValueError, RecursionError) as broken:
        return CorruptRecord(path, f"it is no JSON ({broken})")
    if not isinstance(data, Mapping):
        return CorruptRecord(path, "it is no JSON object")
    version = data.get("v", FORMAT_VERSION)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        return _newer_format(path, version)
    if data.get("model_type", kind.type_name()) != kind.type_name():
        return CorruptRecord(path, f"its model_type is {data.get('model_type')!r}")
    return CorruptRecord(path, first_fault(error))


def _newer_format(path: str, version: object) -> UnreadableRecord:
    return UnreadableRecord(
        path,
        f"its format version {version!r} is newer than {FORMAT_VERSION}, the newest that this "
        "program reads",
        "Upgrade this program to read it; the file has been left as it is.",
    )
