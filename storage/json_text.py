"""Change values in a JSON text without touching the rest of it.

Numbers keep their spelling, keys their order, and whatever is not changed its every byte: a
text is cut into the spans of its values, and only the spans that differ are written anew.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

_DECODER = json.JSONDecoder()
_INDENT = 2


def write_json(value: JsonValue, depth: int = 0) -> str:
    """Return JSON as the format writes it: indent 2, no escapes beyond what JSON needs."""
    text = json.dumps(value, indent=_INDENT, ensure_ascii=False)
    return text.replace("\n", "\n" + " " * (_INDENT * depth))


def patch_json(text: str, changes: Mapping[str, JsonValue], last_key: str = "") -> str:
    """Return the text of an object with some of its values changed.

    Args:
        text: An object.
        changes: New values by key. Where old and new value are both objects, the new value's
            keys are changed in the old one in the same way; an object that loses a key is
            written anew.
        last_key: Keys that the text lacks are put before this one; else at the end.

    Raises:
        json.JSONDecodeError: The text is no JSON object.
    """
    return _patch(text, 0, changes, 1, last_key)[0]


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    start: int
    value_start: int
    end: int
    value: JsonValue


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _members(text: str, at: int) -> tuple[list[_Member], int]:
    """Return the members of the object that begins at `at`, and where its closing brace is."""
    at = _skip(text, at)
    if text[at : at + 1] != "{":
        raise json.JSONDecodeError("not an object", text, at)
    at = _skip(text, at + 1)
    found: list[_Member] = []
    while text[at : at + 1] != "}":
        key: JsonValue
        key, after_key = _DECODER.raw_decode(text, at)
        value_start = _skip(text, _skip(text, after_key) + 1)
        value: JsonValue
        value, end = _DECODER.raw_decode(text, value_start)
        found.append(_Member(str(key), at, value_start, end, value))
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    return found, at


def _patch(
    text: str, at: int, changes: Mapping[str, JsonValue], depth: int, last_key: str
) -> tuple[str, int]:
    members, closing = _members(text, at)
    pieces: list[tuple[int, int, str]] = []
    known = {member.key for member in members}
    for member in members:
        if member.key in changes:
            new = _changed(text, member, changes[member.key], depth)
            if new is not None:
                pieces.append((member.value_start, member.end, new))
    added = "".join(
        f"{json.dumps(key, ensure_ascii=False)}: {write_json(value, depth)},"
        f"\n{' ' * (_INDENT * depth)}"
        for key, value in changes.items()
        if key not in known
    )
    if added:
        pieces.append(_insertion(members, closing, added, depth, last_key))
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    return text, closing


def _changed(text: str, member: _Member, new: JsonValue, depth: int) -> str | None:
    """Return the new text of a member's value; None where it stays."""
    old = member.value
    if old == new and isinstance(old, bool) == isinstance(new, bool):
        return None
    if isinstance(old, dict) and isinstance(new, dict) and old and set(old) <= set(new):
        inner = text[member.value_start : member.end]
        return _patch(inner, 0, new, depth + 1, "")[0]
    return write_json(new, depth)


def _insertion(
    members: list[_Member], closing: int, added: str, depth: int, last_key: str
) -> tuple[int, int, str]:
    """Return where new members go: before `last_key`, or after all others."""
    before = next((m for m in members if m.key == last_key), None)
    if before is not None:
        return before.start, before.start, added
    space = "\n" + " " * (_INDENT * depth)
    bare = added.rstrip().removesuffix(",")
    if members:
        end = members[-1].end
        return end, end, f",{space}{bare}"
    return closing, closing, f"{space}{bare}\n{' ' * (_INDENT * (depth - 1))}"
