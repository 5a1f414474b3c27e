"""Edits of JSON files with comments that leave every other byte as it is.

Editors keep their settings as JSON with comments and commas before closing brackets (JSONC). A
parser that writes the whole file again would lose the person's comments and layout. So the places
of an object's members are read, and only the member's own text is changed.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR: Final = re.compile(r"[^\s,\]}/\"\[{]+")
_DEEPEST: Final = 200


class NotJson(ValueError):
    """The text is not JSON, also with comments.

    Attributes:
        line: The line of the fault, from 1.
    """

    def __init__(self, text: str, position: int, reason: str) -> None:
        self.line: Final = text.count("\n", 0, position) + 1
        super().__init__(f"line {self.line}: {reason}")


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object: the places of its key and of its value's ends."""

    key: str
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    """An object: the places of its brackets, and its members."""

    start: int
    end: int
    members: tuple[_Member, ...]
    has_last_comma: bool

    def member(self, key: str) -> _Member | None:
        """Return the member of a key; of several the last one, as parsers do."""
        return next((item for item in reversed(self.members) if item.key == key), None)


def value_at(text: str, path: Sequence[str]) -> JsonValue:
    """Return the value of a path of keys; None if there is none.

    Raises:
        NotJson: The text is not JSON.
    """
    start = _Scanner(text).root()
    for key in path:
        scanner = _Scanner(text)
        member = scanner.object_at(start).member(key) if text[start : start + 1] == "{" else None
        if member is None:
            return None
        start = member.value
    return json.loads(_plain(text[start : _Scanner(text).skip_value(start)]))


def with_value(text: str, path: Sequence[str], value: JsonValue) -> str:
    """Return the text with a value at a path of keys; objects on the way are made.

    Raises:
        NotJson: The text is not JSON, or the path leads through something that is no object.
    """
    if not text.strip():
        text = "{}\n"
    place = _Scanner(text).root()
    for depth, key in enumerate(path):
        if text[place] != "{":
            raise NotJson(text, place, f"the value above {key!r} is no object")
        holder = _Scanner(text).object_at(place)
        member = holder.member(key)
        if member is None:
            rest: JsonValue = value
            for name in reversed(path[depth + 1 :]):
                rest = {name: rest}
            return _with_member(text, holder, key, rest)
        place = member.value
    end = _Scanner(text).skip_value(place)
    return text[:place] + _json_text(text, value, _indentation(text, place)) + text[end:]


def without_value(text: str, path: Sequence[str]) -> str:
    """Return the text without the member at a path of keys, and its comma.

    Raises:
        NotJson: The text is not JSON.
    """
    place = _Scanner(text).root()
    for key in path[:-1]:
        member = _Scanner(text).object_at(place).member(key) if text[place] == "{" else None
        if member is None:
            return text
        place = member.value
    if text[place] != "{":
        return text
    holder = _Scanner(text).object_at(place)
    member = holder.member(path[-1])
    if member is None:
        return text
    position = holder.members.index(member)
    if position + 1 < len(holder.members):
        return text[: member.start] + text[holder.members[position + 1].start :]
    if position:
        previous = holder.members[position - 1]
        comma = _skip_space(text, previous.end)
        if not holder.has_last_comma:
            start = _line_start(text, member)
            return text[:comma] + text[comma + 1 : start] + text[member.end :]
    end = member.end
    if holder.has_last_comma:
        end = _skip_space(text, end) + 1
    return text[: _line_start(text, member)] + text[end:]


def _line_start(text: str, member: _Member) -> int:
    """Return where the white space before a member begins, its line's end included."""
    start = member.start
    while text[start - 1] in " \t":
        start -= 1
    if text[start - 1] == "\n":
        start -= 1
        start -= text[start - 1] == "\r"
    return start


def _with_member(text: str, holder: _Object, key: str, value: JsonValue) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if holder.members:
        indentation = _indentation(text, holder.members[-1].start)
    else:
        indentation = _indentation(text, holder.start) + _unit(text)
    entry = f"{json.dumps(key)}: {_json_text(text, value, indentation)}"
    if not holder.members:
        closing = _indentation(text, holder.start)
        inside = text[holder.start + 1 : holder.end - 1]
        comments = inside.rstrip() if inside.strip() else ""
        body = f"{{{comments}{newline}{indentation}{entry}{newline}{closing}}}"
        return text[: holder.start] + body + text[holder.end :]
    last = holder.members[-1]
    place = last.end
    if holder.has_last_comma:
        place = _skip_space(text, place) + 1
        return f"{text[:place]}{newline}{indentation}{entry},{text[place:]}"
    return f"{text[:place]},{newline}{indentation}{entry}{text[place:]}"


def _json_text(text: str, value: JsonValue, indentation: str) -> str:
    """Return a value as JSON in the layout of the file."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"{newline}{indentation}".join(lines)


def _unit(text: str) -> str:
    """Return one step of the file's indentation."""
    match = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    if match is None:
        return "  "
    return "\t" if match[1].startswith("\t") else match[1]


def _indentation(text: str, place: int) -> str:
    line = text.rfind("\n", 0, place) + 1
    match = re.match(r"[ \t]*", text[line:place])
    return match[0] if match else ""


def _plain(text: str) -> str:
    """Return JSON without comments and commas before closing brackets."""
    parts: list[str] = []
    place = 0
    while place < len(text):
        string = _STRING.match(text, place)
        if string:
            parts.append(string[0])
            place = string.end()
        elif (end := _skip_space(text, place)) > place:
            place = end
        elif text[place] == "," and _next_closes(text, place + 1):
            place += 1
        else:
            parts.append(text[place])
            place += 1
    return "".join(parts)


def _next_closes(text: str, place: int) -> bool:
    place = _skip_space(text, place)
    return text[place : place + 1] in {"}", "]"}


def _skip_space(text: str, place: int) -> int:
    """Return where the white space and the comments that begin here end."""
    match = _SPACE.match(text, place)
    return match.end() if match else place


class _Scanner:
    """Finds where values begin and end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0

    def root(self) -> int:
        """Return where the one value of the text begins.

        Raises:
            NotJson: There is none, or something follows it.
        """
        start = self._space(1 if self._text.startswith("\ufeff") else 0)
        end = self._space(self.skip_value(start))
        if end < len(self._text):
            raise NotJson(self._text, end, "something follows the end of the value")
        return start

    def skip_value(self, place: int) -> int:
        """Return where the value that begins here ends.

        Raises:
            NotJson: No value begins here.
        """
        opening = self._text[place : place + 1]
        if opening == "{":
            return self.object_at(place).end
        if opening == "[":
            return self._array_end(place)
        pattern = _STRING if opening == '"' else _SCALAR
        match = pattern.match(self._text, place)
        if match is None:
            raise self._fault(place, "a value is missing")
        try:
            json.loads(match[0], strict=False)
        except ValueError:
            raise self._fault(place, f"{match[0][:40]!r} is no value") from None
        return match.end()

    def object_at(self, place: int) -> _Object:
        """Return the object that begins here.

        Raises:
            NotJson: It is not written as an object.
        """
        self._enter(place)
        members: list[_Member] = []
        start, place = place, self._space(place + 1)
        has_comma = False
        while self._text[place : place + 1] != "}":
            if members and not has_comma:
                raise self._fault(place, "a comma or } is missing")
            key = _STRING.match(self._text, place)
            if key is None:
                raise self._fault(place, "a key in quotation marks is missing")
            colon = self._space(key.end())
            if self._text[colon : colon + 1] != ":":
                raise self._fault(colon, "a colon is missing")
            value = self._space(colon + 1)
            end = self.skip_value(value)
            members.append(_Member(json.loads(key[0], strict=False), key.start(), value, end))
            place = self._space(end)
            if has_comma := self._text[place : place + 1] == ",":
                place = self._space(place + 1)
        self._depth -= 1
        return _Object(start, place + 1, tuple(members), has_comma)

    def _array_end(self, place: int) -> int:
        self._enter(place)
        place, has_comma, is_first = self._space(place + 1), False, True
        while self._text[place : place + 1] != "]":
            if not (is_first or has_comma):
                raise self._fault(place, "a comma or ] is missing")
            place, is_first = self._space(self.skip_value(place)), False
            if has_comma := self._text[place : place + 1] == ",":
                place = self._space(place + 1)
        self._depth -= 1
        return place + 1

    def _space(self, place: int) -> int:
        return _skip_space(self._text, place)

    def _enter(self, place: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._fault(place, f"it is nested more than {_DEEPEST} deep")

    def _fault(self, place: int, reason: str) -> NotJson:
        reason = "the text ends too early" if place >= len(self._text) else reason
        return NotJson(self._text, place, reason)
