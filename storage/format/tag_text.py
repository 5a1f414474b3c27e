"""The tags of a record in the text of its file: others take their place, all else stays."""

import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring as _quote
from typing import Final, TypeVar

from pydantic import JsonValue

from storage.format.record_text import parse_record, revision_of
from storage.records import EvalInput, TaskRun
from storage.records.run import check_tags
from storage.refusals import invalid_record
from storage.text.json_text import patch_json

TaggedRecord = TypeVar("TaggedRecord", TaskRun, EvalInput)
Tags = tuple[str, ...]
TagsChange = Callable[[Tags], Tags]
"""Returns the tags as they are to be, of those that are there."""

_OPENING: Final = b'\n  "tags": ['
_KEY: Final = b'"tags"'
_ESCAPE: Final = rb"\u"
_CLOSING: Final = b"\n  ]"
_INDENTATION: Final = b"\n    "
_BETWEEN: Final = b",\n    "


def text_with_tags(
    kind: type[TaggedRecord],
    content: bytes,
    path: str,
    change_tags: TagsChange,
    revision: str | None = None,
) -> tuple[bytes, Tags] | None:
    """Return the text of a record with other tags, and these; None if they stay.

    Args:
        kind: The record's kind.
        content: The bytes of its file.
        path: The file, within the project.
        change_tags: Returns the tags as they are to be.
        revision: Of bytes that were read as such a record, which are not checked again.

    Raises:
        UnreadableRecord: The bytes are no record of this kind.
        StorageError: A tag is none that the format has.
    """
    if revision is None or revision_of(content) != revision:
        parse_record(kind, content, path)
    data: dict[str, JsonValue] = json.loads(content)
    old_tags = data.get("tags")
    if not isinstance(old_tags, list):
        return _spelled_anew(kind, content, path, change_tags)
    tags: Tags = tuple(map(str, old_tags))
    new_tags = change_tags(tags)
    if new_tags == tags:
        return None
    _check(kind, new_tags)
    result = _with_tags(content, tags, new_tags)
    if result is None:
        return _spelled_anew(kind, content, path, change_tags)
    if not _has_one_list(content) and json.loads(result) != data | {"tags": list(new_tags)}:
        return _spelled_anew(kind, content, path, change_tags)
    return result, new_tags


def _has_one_list(content: bytes) -> bool:
    """Return whether a record that has tags can have them in one place only, however it is read."""
    return content.count(_KEY) == 1 and _ESCAPE not in content


def _check(kind: type[TaskRun] | type[EvalInput], tags: Tags) -> None:
    try:
        check_tags(tags)
    except ValueError as error:
        raise invalid_record(kind.type_name(), str(error)) from error


def _with_tags(content: bytes, tags: Tags, new_tags: Tags) -> bytes | None:
    """Return a text with other tags; None if it spells them in a way of its own."""
    begin = content.find(_OPENING) + len(_OPENING)
    if begin < len(_OPENING):
        return None
    entries = _entries(content, begin)
    if entries is None or len(entries) != len(tags):
        return None
    end = content.find(_CLOSING, begin) + len(_CLOSING) if entries else begin + 1
    spelling = dict(zip(tags, entries, strict=True))
    new_entries = [spelling.get(tag) or _quote(tag).encode() for tag in new_tags]
    body = _INDENTATION + _BETWEEN.join(new_entries) + _CLOSING if new_entries else b"]"
    return content[:begin] + body + content[end:]


def _entries(content: bytes, begin: int) -> Sequence[bytes] | None:
    """Return the tags that a list spells a line each; None if it does not."""
    if content[begin : begin + 1] == b"]":
        return []
    end = content.find(_CLOSING, begin)
    if end < 0 or not content.startswith(_INDENTATION, begin):
        return None
    return content[begin + len(_INDENTATION) : end].split(_BETWEEN)


def _spelled_anew(
    kind: type[TaggedRecord], content: bytes, path: str, change_tags: TagsChange
) -> tuple[bytes, Tags] | None:
    """Return the text of a record with other tags, however it is spelled."""
    record = parse_record(kind, content, path)
    changed = record.replace(tags=change_tags(record.tags))
    if changed.tags == record.tags:
        return None
    old_data, new_data = record.model_dump(mode="json"), changed.model_dump(mode="json")
    return patch_json(content.decode("utf-8"), old_data, new_data).encode("utf-8"), changed.tags
