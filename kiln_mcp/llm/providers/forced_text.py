"""The text that a JSON schema forces: what must come next in an answer that is half written.

A schema fixes the keys, their order, the braces and the constants; a model chooses the values and
the whitespace. The whitespace of forced text follows an earlier answer of the conversation, then
the answer itself. The model must read the tokens that it would have written. So forced text ends
behind a colon or behind the whole answer, where no token of the usual vocabularies reaches across.
And it holds only words that the earlier answer shows.

The order of keys is llama.cpp's: required properties first, each in the schema's order.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from kiln_mcp.llm.messages import JsonSchema
from kiln_mcp.llm.providers.partial_json import Layout, Scan, is_complete
from kiln_mcp.llm.providers.schema_parts import (
    constants_of,
    is_closed_object,
    items_of,
    kinds_of,
    properties_of,
    required_keys,
)
from storage.text.schema_references import resolve_reference

_TERMINATORS: Final = {
    "string": '"',
    "integer": "",
    "number": "",
    "boolean": "",
    "null": "",
    "array": "]",
    "object": "}",
}
_PLAIN_KEY: Final = re.compile(r"\w(?:[\w -]*\w)?")
"""Marks at a key's ends could be joined to its quotes."""
_SCALAR_ENDS: Final[Mapping[str, Sequence[str]]] = {
    "integer": "0123456789",
    "number": "0123456789",
    "boolean": ("e",),
    "null": ("null",),
}
"""How a scalar ends, for text behind it that may also stand before the value or in it."""


@dataclass(frozen=True, slots=True)
class ForcedAnswer:
    """An answer whose text a schema forces between its values.

    Attributes:
        schema: The schema of the whole answer.
        beginning: The text up to the first value.
    """

    schema: JsonSchema
    beginning: str


def forced_answer(schema: JsonSchema, example: str) -> ForcedAnswer | None:
    """Return how an answer begins; None if the model must write the whole of it.

    A model that does not expect a word spells it under a grammar in other tokens, and then goes on
    otherwise. So an earlier answer must show each key, and one value of each choice.

    Args:
        schema: The schema of the answer.
        example: The newest answer of the conversation; empty if there is none.
    """
    beginning = forced_text(schema, "", example)
    words = _words_of(schema) if beginning else ()
    is_shown = all(any(_names(example, word) for word in choice) for choice in words)
    return ForcedAnswer(schema, beginning) if beginning and is_shown else None


def _names(example: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", example) is not None


def _words_of(schema: JsonSchema) -> Iterator[list[str]]:
    """Yield the keys and the choices of a schema, at any depth; an odd key as no word at all."""
    for key, part in properties_of(schema).items():
        yield [key] if _PLAIN_KEY.fullmatch(key) else []
        yield from _words_of_part(part)
    if choices := [value for value in constants_of(schema) if isinstance(value, str)]:
        yield choices
    for key, part in schema.items():
        if key not in {"properties", "enum", "const"}:
            yield from _words_of_part(part)


def _words_of_part(part: object) -> Iterator[list[str]]:
    if isinstance(part, dict):
        yield from _words_of(cast("dict[str, Any]", part))
    elif isinstance(part, list):
        for item in cast("list[object]", part):
            yield from _words_of_part(item)


def forced_text(schema: JsonSchema, text: str, example: str = "") -> str:
    """Return what must follow a text, up to the last place where it may end; mostly empty.

    Args:
        schema: The schema of the whole answer.
        text: The answer so far.
        example: An earlier answer of the conversation; it shows the whitespace of one that has not
            begun. If it begins with another key than the schema, it shows nothing.
    """
    layout = _example_layout(schema, example)
    continuation, safe_length = "", 0
    while piece := _piece(Scan(schema, text + continuation), layout):
        continuation += _without_space_of(text + continuation, piece)
        if piece.endswith(":") or is_complete(text + continuation):
            safe_length = len(continuation)
    return continuation[:safe_length]


def _without_space_of(text: str, piece: str) -> str:
    """Return a piece without the whitespace at its beginning that a text already ends with."""
    space = text[len(text.rstrip()) :]
    return piece.removeprefix(space) if piece.startswith(space) else piece.lstrip()


def _example_layout(schema: JsonSchema, example: str) -> Layout | None:
    keys = required_keys(resolve_reference(schema, schema))
    first_key = re.escape(json.dumps(keys[0], ensure_ascii=False)) if keys else "(?!)"
    match = re.match(r"\{(\s*)" + first_key + r":(\s*)", example)
    return Layout(match[1], match[2]) if match else None


def _merge(own: Layout | None, example: Layout | None) -> Layout | None:
    """Return the text's own whitespace, with the example's where it has shown none."""
    if own is None or own.colon is not None or example is None:
        return own or example
    return Layout(own.opening, example.colon)


def _piece(scan: Scan, example: Layout | None) -> str:
    """Return the next piece of forced text; empty if the model has a choice."""
    layout = _merge(scan.layout, example)
    if layout is None:
        return ""
    match scan.place:
        case "value":
            return _forced_value(scan, layout)
        case "first" | "next" | "after" if scan.frames[-1].is_object:
            return _forced_member(scan, layout)
        case "colon":
            return ":"
        case _:
            return ""


def _forced_value(scan: Scan, layout: Layout) -> str:
    schema = scan.value_schema()
    if schema is None or (scan.frames and layout.colon is None):
        return ""
    space = (layout.colon or "") if scan.frames and scan.frames[-1].is_object else ""
    if required_keys(schema):
        return space + "{"
    constants = constants_of(schema)
    if len(constants) == 1 and isinstance(constants[0], str) and space:
        return space + json.dumps(constants[0], ensure_ascii=False)
    return ""


def _forced_member(scan: Scan, layout: Layout) -> str:
    frame = scan.frames[-1]
    if frame.schema is None:
        return ""
    keys = required_keys(frame.schema)
    if frame.size < len(keys):
        comma = "," if scan.place == "after" else ""
        is_first = scan.place == "first"
        space = layout.before_key(scan.depth, is_first=is_first)
        return f"{comma}{space}{json.dumps(keys[frame.size], ensure_ascii=False)}"
    if keys and scan.place == "after" and is_closed_object(frame.schema):
        return layout.before_end(scan.depth) + "}"
    return ""


def stop_texts(schema: JsonSchema, text: str) -> tuple[str, ...]:
    """Return the texts at which the model can be stopped, because what follows is forced.

    Args:
        schema: The schema of the whole answer.
        text: The answer so far; the model writes what follows it.
    """
    scan = Scan(schema, text)
    if scan.place not in {"value", "inside", "first", "next", "after"}:
        return ()
    if scan.place in {"value", "inside"}:
        start = len(text) if scan.place == "value" else scan.value_start
        return tuple(_value_stops(schema, text[:start], scan.value_schema()))
    frame = scan.frames[-1]
    if frame.is_object:
        return ()
    return tuple(_array_stops(schema, text, scan))


def _value_stops(root: JsonSchema, prefix: str, schema: JsonSchema | None) -> Iterator[str]:
    kinds = kinds_of(root, schema)
    # An empty array stands for the value: it ends by itself.
    following = _following(root, prefix + "[]")
    if schema is not None and "array" in kinds and required_keys(items_of(root, schema)):
        yield "{"
    if not following:
        return
    for kind in kinds:
        if kind in _SCALAR_ENDS and (following.isspace() or "string" in kinds):
            yield from (end + following for end in _SCALAR_ENDS[kind])
        elif kind in _TERMINATORS:
            yield _TERMINATORS[kind] + following


def _array_stops(root: JsonSchema, text: str, scan: Scan) -> Iterator[str]:
    """Yield where to stop between the items of an array."""
    items = scan.value_schema()
    if required_keys(items):
        yield "{"
    following = _following(root, text + ("0]" if scan.place == "next" else "]"))
    if following:
        yield "]" + following


def _following(root: JsonSchema, text: str) -> str:
    """Return the first character that is forced after a text; empty if none is."""
    return forced_text(root, text)[:1]
