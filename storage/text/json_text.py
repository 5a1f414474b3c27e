"""JSON text that keeps its spelling: a change rewrites the changed values and nothing else.

Whitespace, key order, number spelling (`2.658e-6`), escapes and keys that no record knows stay
as they are in the file.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from json.encoder import encode_basestring as _quote
from typing import Final

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, to_json

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')  # possessive: it keeps no state for each sign
_SCALAR = re.compile(r"[^\s,\]}]+")


_OTHER_SPELLING = re.compile(rb" (?=[-\dNI])-?(?:[\d.]+e|0\.0000|NaN|Inf)")
"""A number in indented JSON that pydantic spells otherwise than Python, or that JSON has not."""

_scan: Final = json.JSONDecoder().raw_decode
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(slots=True)
class _Leaf:
    text: str


@dataclass(slots=True)
class _Entry:
    """One member of an object, or one item of an array (without a key)."""

    space_before: str
    value: "_Node"
    space_after: str = ""
    key: str = ""
    head: str = ""


@dataclass(slots=True)
class _Branch:
    brackets: str
    entries: list[_Entry] = field(default_factory=list[_Entry])
    inner: str = ""


_Node = _Leaf | _Branch


@dataclass(frozen=True, slots=True)
class _Donor:
    """A value as another text spells it."""

    node: _Node
    value: JsonValue

    def members(self) -> "dict[str, _Donor]":
        node = _open(self.node)
        if isinstance(node, _Leaf) or not isinstance(self.value, dict):
            return {}
        return {entry.key: _Donor(entry.value, self.value[entry.key]) for entry in node.entries}


@dataclass(frozen=True, slots=True)
class _Style:
    """How new text is written: the indentation of its line and of one level; None for compact."""

    indent: str
    unit: str | None

    def deeper(self) -> "_Style":
        return _Style(self.indent + (self.unit or ""), self.unit)

    def spell(self, value: JsonValue) -> str:
        if self.unit is None:
            return _encode(value)
        return _spell(value, "\n" + self.indent, self.unit)


def _spell(value: JsonValue, line: str, unit: str) -> str:
    """Return indented JSON as `json.dumps` writes it, which does this much slower.

    Args:
        value: The value.
        line: A line break with the indentation of the value's own line.
        unit: The indentation of one level.
    """
    if isinstance(value, str):
        return _quote(value)
    if value is None:
        return "null"
    if isinstance(value, int):
        return ("false", "true")[value] if isinstance(value, bool) else int.__repr__(value)
    if isinstance(value, dict) and value:
        deeper = line + unit
        members = [
            f"{_quote(key)}: {_spell(member, deeper, unit)}" for key, member in value.items()
        ]
        return f"{{{deeper}{f',{deeper}'.join(members)}{line}}}"
    if isinstance(value, list) and value:
        deeper = line + unit
        items = [_spell(item, deeper, unit) for item in value]
        return f"[{deeper}{f',{deeper}'.join(items)}{line}]"
    return _encode(value)  # a number with a fraction, or nothing between brackets


def write_json(value: JsonValue) -> str:
    """Return new JSON text in the format's style: indented by two, nothing escaped."""
    if isinstance(value, dict | list):
        with suppress(PydanticSerializationError):  # the other way says what is wrong
            text = to_json(value, indent=2)
            if _OTHER_SPELLING.search(text) is None:
                return text.decode("utf-8")
    return _Style("", "  ").spell(value)


def patch_json(text: str, old: JsonValue, new: JsonValue, donor_text: str = "") -> str:
    """Return the text with the difference between two values applied, its line ends kept.

    Args:
        text: Valid JSON.
        old: What a reader understood of the text; keys that it left out are not touched.
        new: What the reader should understand of the result.
        donor_text: Valid JSON that has some of the new values at their places; they are taken from
            it as they are spelled there. None is "".

    Raises:
        ValueError: The text is no JSON, or the new value has a number that JSON cannot hold.
    """
    if same(old, new):
        return text
    if not donor_text and text == write_json(old):  # nothing is spelled in its own way
        return write_json(new)
    start = _space_end(text, 0)
    root, end = _parse(text, start)
    donor = _donor(donor_text) if donor_text else None
    changed = _patch(root, old, new, _Style("", _unit_of(root)), donor)
    return _with_line_ends_of(text, text[:start] + _render(changed) + text[end:])


def _with_line_ends_of(text: str, result: str) -> str:
    """Return a result with line ends of Windows if all of the text's are; strings have none."""
    if "\r\n" not in text or text.count("\n") != text.count("\r\n"):
        return result
    return result.replace("\r\n", "\n").replace("\n", "\r\n")


def same(first: JsonValue, second: JsonValue) -> bool:
    """Return whether two values are the same JSON; true is not 1 here, though 1.0 is 1."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def _space_end(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _parse(text: str, start: int) -> tuple[_Node, int]:
    """Return the value that begins here, with its members as they are spelled, and its end."""
    opening = text[start : start + 1]
    if opening in ("{", "["):
        return _parse_branch(text, start, "{}" if opening == "{" else "[]")
    return _parse_leaf(text, start)


def _open(node: _Node) -> _Node:
    """Return a member that may have members of its own as a branch; most are never looked into."""
    return _parse(node.text, 0)[0] if isinstance(node, _Leaf) else node


def _parse_leaf(text: str, start: int) -> tuple[_Leaf, int]:
    opening = text[start : start + 1]
    if opening in ("{", "["):
        end = _scan(text, start)[1]
        return _Leaf(text[start:end]), end
    match = (_STRING if opening == '"' else _SCALAR).match(text, start)
    if match is None:
        raise ValueError(f"no JSON at character {start}")
    return _Leaf(match.group()), match.end()


def _parse_branch(text: str, start: int, brackets: str) -> tuple[_Branch, int]:
    branch = _Branch(brackets)
    position = start + 1
    space_end = _space_end(text, position)
    if text[space_end : space_end + 1] == brackets[1]:
        branch.inner = text[position:space_end]
        return branch, space_end + 1
    while True:
        entry, position = _parse_entry(text, position, has_key=brackets == "{}")
        branch.entries.append(entry)
        closing = text[position : position + 1]
        position += 1
        if closing == brackets[1]:
            return branch, position
        if closing != ",":
            raise ValueError(f"no JSON at character {position}")


def _parse_entry(text: str, position: int, *, has_key: bool) -> tuple[_Entry, int]:
    begin = _space_end(text, position)
    space, key, head, value_at = text[position:begin], "", "", begin
    if has_key:
        match = _STRING.match(text, begin)
        if match is None:
            raise ValueError(f"no key at character {begin}")
        colon = _space_end(text, match.end())
        value_at = _space_end(text, colon + 1)
        key, head = _key_of(match.group()), text[begin:value_at]
    value, end = _parse_leaf(text, value_at)
    after = _space_end(text, end)
    return _Entry(space, value, text[end:after], key, head), after


def _key_of(text: str) -> str:
    return str(json.loads(text)) if "\\" in text else text[1:-1]


def _render(node: _Node) -> str:
    if isinstance(node, _Leaf):
        return node.text
    body = ",".join(
        e.space_before + e.head + _render(e.value) + e.space_after for e in node.entries
    )
    return node.brackets[0] + (body or node.inner) + node.brackets[1]


def _unit_of(root: _Node) -> str | None:
    if isinstance(root, _Leaf) or not root.entries:
        return "  "
    space = root.entries[0].space_before
    return space.rpartition("\n")[2] if "\n" in space else None


def _donor(text: str) -> _Donor:
    return _Donor(_parse(text, _space_end(text, 0))[0], json.loads(text))


def _patch(
    node: _Node, old: JsonValue, new: JsonValue, style: _Style, donor: _Donor | None = None
) -> _Node:
    if same(old, new):
        return node
    if donor is not None and same(donor.value, new):
        return donor.node
    node = _open(node)
    if isinstance(node, _Branch) and node.entries:
        if isinstance(old, dict) and isinstance(new, dict) and node.brackets == "{}":
            return _patch_object(node, old, new, style, donor)
        if isinstance(old, list) and isinstance(new, list) and node.brackets == "[]":
            return _patch_array(node, old, new, style)
    return _Leaf(style.spell(new))


def _patch_object(
    node: _Branch,
    old: dict[str, JsonValue],
    new: dict[str, JsonValue],
    style: _Style,
    donor: _Donor | None,
) -> _Node:
    donors = donor.members() if donor else {}
    entries = [e for e in node.entries if e.key in new or e.key not in old]
    position = {entry.key: index for index, entry in enumerate(entries)}
    insertions: list[tuple[int, _Entry]] = []
    place = 0
    for key, value in new.items():
        index = position.get(key)
        if index is not None:
            member = entries[index].value
            entries[index].value = _patch(
                member, old.get(key), value, style.deeper(), donors.get(key)
            )
            place = index + 1
        elif not (key in old and same(old[key], value)):
            new_node = _new_node(value, style.deeper(), donors.get(key))
            head = json.dumps(key, ensure_ascii=False) + ": "
            insertions.append((place, _Entry("", new_node, key=key, head=head)))
    for index, entry in reversed(insertions):
        entries.insert(index, entry)
    return _with_spacing(node, entries)


def _new_node(value: JsonValue, style: _Style, donor: _Donor | None) -> _Node:
    if donor is not None and same(donor.value, value):
        return donor.node
    return _Leaf(style.spell(value))


def _patch_array(node: _Branch, old: list[JsonValue], new: list[JsonValue], style: _Style) -> _Node:
    if len(old) != len(node.entries) or not new:
        return _Leaf(style.spell(new))
    sources = _sources(old, new)
    entries = [
        _Entry("", _Leaf(style.deeper().spell(value)))
        if source is None
        else _Entry("", _patch(node.entries[source].value, old[source], value, style.deeper()))
        for source, value in zip(sources, new, strict=True)
    ]
    return _with_spacing(node, entries)


def _with_spacing(node: _Branch, entries: list[_Entry]) -> _Branch:
    """Give entries the whitespace of the branch that they belong to."""
    if [id(e) for e in entries] == [id(e) for e in node.entries]:
        return node
    first, last = node.entries[0].space_before, node.entries[-1].space_after
    between = node.entries[1].space_before if len(node.entries) > 1 else first
    for index, entry in enumerate(entries):
        entry.space_before = entry.space_before or (between if index else first)
        entry.space_after = last if index == len(entries) - 1 else ""
    return _Branch(node.brackets, entries)


def _sources(old: list[JsonValue], new: list[JsonValue]) -> list[int | None]:
    """For each new item, the old item that it was: the same, of the same id, at the same place."""
    free = dict.fromkeys(range(len(old)))
    sources: list[int | None] = [None] * len(new)

    def claim(matches_index: list[tuple[int, int]]) -> None:
        for target, source in matches_index:
            if sources[target] is None and source in free:
                sources[target] = source
                del free[source]

    old_texts = [json.dumps(item, sort_keys=True) for item in old]
    new_texts = [json.dumps(item, sort_keys=True) for item in new]
    claim([(i, i) for i in range(min(len(old), len(new))) if old_texts[i] == new_texts[i]])
    places: dict[str, list[int]] = {}
    for index, text in enumerate(old_texts):
        places.setdefault(text, []).append(index)
    claim([(i, s) for i, text in enumerate(new_texts) for s in places.get(text, ())])
    for mark in ("id", "name"):
        index_by_mark = {_mark(item, mark): index for index, item in enumerate(old)}
        claim(
            [
                (i, index_by_mark[m])
                for i, item in enumerate(new)
                if (m := _mark(item, mark)) in index_by_mark and m
            ]
        )
    if len(old) == len(new):
        claim([(i, i) for i in range(len(new))])
    return sources


def _mark(item: JsonValue, key: str) -> str:
    value = item.get(key) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
