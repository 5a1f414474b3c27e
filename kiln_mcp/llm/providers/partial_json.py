"""A reader of JSON that is half written: where it ends, what is open, and its whitespace."""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from kiln_mcp.llm.messages import JsonSchema
from kiln_mcp.llm.providers.schema_parts import properties_of
from storage.text.schema_references import resolve_reference

_TOKEN: Final = re.compile(
    r'\s+|"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*\\?$|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The whitespace of a JSON text, as its beginning shows it.

    Attributes:
        opening: Between the first brace and the first key; with a line break, its indentation.
        colon: After a colon; None if none has shown it yet.
    """

    opening: str
    colon: str | None

    def before_key(self, depth: int, *, is_first: bool) -> str:
        """Return the whitespace before a key, at a depth of nesting from 1."""
        if "\n" in self.opening:
            return self._line(depth)
        return self.opening if is_first else self.colon or ""

    def before_end(self, depth: int) -> str:
        """Return the whitespace before the brace that ends an object of this depth."""
        return self._line(depth - 1) if "\n" in self.opening else self.opening

    def _line(self, depth: int) -> str:
        line_end, indentation = self.opening.rsplit("\n", 1)
        return f"{line_end}\n{indentation * depth}"


@dataclass(slots=True)
class Frame:
    """An object or an array that is open.

    Attributes:
        schema: Its schema; None if no schema is known.
        is_object: Whether it is an object.
        size: How many members it has, the one being written included.
        key: The key of the member being written.
    """

    schema: JsonSchema | None
    is_object: bool
    size: int = 0
    key: str = ""


Place = Literal["value", "inside", "first", "next", "colon", "after", "end"]


class Scan:
    """A reader of the JSON text so far.

    Attributes:
        place: What comes next: a `value`; the rest of one (`inside`); the `first` key or item; the
            `next` one, after a comma; a `colon`; what comes `after` a value; nothing (`end`).
        frames: The open objects and arrays, outermost first.
        value_start: Where the newest value begins.
        layout: The text's whitespace; None before the first key.
    """

    def __init__(self, root: JsonSchema, text: str) -> None:
        self.place: Place = "value"
        self.frames: list[Frame] = []
        self.value_start = 0
        self.layout: Layout | None = None
        self._root = root
        self._space = ""
        for match in _TOKEN.finditer(text):
            self._take(match.group(), match.start(), is_last=match.end() == len(text))

    def _take(self, token: str, start: int, *, is_last: bool) -> None:
        if token.isspace():
            self._space = token
            return
        self._note_layout(token)
        space, self._space = self._space, ""
        frame = self.frames[-1] if self.frames else None
        if token in "{[":
            self.value_start = start - len(space)
            self.frames.append(Frame(self.value_schema(), token == "{"))
            self.place = "first"
        elif token in "}]":
            del self.frames[-1:]
            self.place = self._after_value()
        elif token == ",":
            self.place = "next"
        elif token == ":":
            self.place = "value"
        elif frame is not None and frame.is_object and self.place in {"first", "next"}:
            self._take_key(frame, token)
        else:
            self.value_start = start - len(space)
            self.place = "inside" if is_last and not _is_closed(token) else self._after_value()

    def _after_value(self) -> Place:
        return "after" if self.frames else "end"

    def _take_key(self, frame: Frame, token: str) -> None:
        if _is_closed(token):
            frame.key = _text_of(token)
            frame.size += 1
            self.place = "colon"
        else:
            self.place = "inside"

    def _note_layout(self, token: str) -> None:
        if self.layout is None and self.place == "first" and token.startswith('"'):
            self.layout = Layout(self._space, None)
        elif self.layout is not None and self.layout.colon is None and self.place == "value":
            self.layout = Layout(self.layout.opening, self._space)

    @property
    def depth(self) -> int:
        """How many objects and arrays are open."""
        return len(self.frames)

    def value_schema(self) -> JsonSchema | None:
        """Return the schema of the value that comes next or is being written."""
        if not self.frames:
            return resolve_reference(self._root, self._root)
        frame = self.frames[-1]
        if frame.schema is None:
            return None
        if not frame.is_object:
            return resolve_reference(self._root, frame.schema.get("items"))
        return resolve_reference(self._root, properties_of(frame.schema).get(frame.key))


def _is_closed(token: str) -> bool:
    """Return whether nothing can make a token longer."""
    if not token.startswith('"'):
        return False
    return re.fullmatch(r'"(?:[^"\\]|\\.)*"', token, re.DOTALL) is not None


def _text_of(string: str) -> str:
    """Return the text of a JSON string; an escape that JSON does not know stays as it is."""
    try:
        return str(json.loads(string, strict=False))
    except ValueError:
        return string[1:-1]


def is_complete(text: str) -> bool:
    """Return whether a text is a whole JSON object or array."""
    return Scan({}, text).place == "end"
