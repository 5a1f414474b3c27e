"""The text that a JSON schema forces: what must come next in an answer that is half written.

A schema fixes the keys, their order, the braces and the constants; a model chooses the values and
the whitespace. The whitespace of forced text follows the answer itself, or an earlier answer of the
conversation. Forced text ends behind a colon or behind the whole answer, and nowhere else: there no
token of the usual vocabularies reaches across, so the model reads the tokens that it would have
written.

The order of keys is llama.cpp's: required properties first, each in the schema's order.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from kiln_mcp.llm.messages import JsonSchema
from kiln_mcp.llm.providers.partial_json import Layout, Scan, is_complete
from kiln_mcp.llm.providers.schema_parts import (
    is_closed_object,
    items_of,
    kinds_of,
    required_keys,
    resolve,
)

_TERMINATORS: Final = {
    "string": '"',
    "integer": "",
    "number": "",
    "boolean": "",
    "null": "",
    "array": "]",
    "object": "}",
}
_LITERAL_ENDS: Final = {"null": "null", "boolean": "e"}
"""How a literal ends where the value may also be a string, which may hold any other mark."""


def can_force(schema: JsonSchema) -> bool:
    """Return whether an answer's schema forces a key; an answer that is no object has none."""
    return bool(required_keys(resolve(schema, schema)))


def forced_text(schema: JsonSchema, text: str, example: str = "") -> str:
    """Return what must follow a text, up to the last place where it may end; mostly empty.

    Args:
        schema: The schema of the whole answer.
        text: The answer so far.
        example: An earlier answer of the conversation; it shows the whitespace of one that has not
            begun. If it begins with another key than the schema, it shows nothing.
    """
    shown = _example_layout(schema, example)
    forced, safe = "", 0
    while piece := _piece(Scan(schema, text + forced), shown):
        forced += _without_space_of(text + forced, piece)
        if piece.endswith(":") or is_complete(text + forced):
            safe = len(forced)
    return forced[:safe]


def _without_space_of(text: str, piece: str) -> str:
    """Return a piece without the whitespace at its beginning that a text already ends with."""
    space = text[len(text.rstrip()) :]
    return piece.removeprefix(space) if piece.startswith(space) else piece.lstrip()


def _example_layout(schema: JsonSchema, example: str) -> Layout | None:
    keys = required_keys(resolve(schema, schema))
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
    constants = schema.get("enum", [schema["const"]] if "const" in schema else [])
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


def _value_stops(root: JsonSchema, before: str, schema: JsonSchema | None) -> Iterator[str]:
    kinds = kinds_of(root, schema)
    following = _piece_after(root, before)
    if schema is not None and "array" in kinds and required_keys(items_of(root, schema)):
        yield "{"
    if not following:
        return
    for kind in kinds:
        if kind in _TERMINATORS and ("string" not in kinds or kind == "string"):
            yield _TERMINATORS[kind] + following
        elif kind in _LITERAL_ENDS:
            yield _LITERAL_ENDS[kind] + following


def _array_stops(root: JsonSchema, text: str, scan: Scan) -> Iterator[str]:
    """Yield where to stop between the items of an array."""
    items = scan.value_schema()
    if required_keys(items):
        yield "{"
    following = _piece_after(root, text + ("0]" if scan.place == "next" else "]"), is_whole=True)
    if following:
        yield "]" + following


def _piece_after(root: JsonSchema, before: str, *, is_whole: bool = False) -> str:
    """Return the first character that is forced after a value; empty if none is.

    Args:
        root: The schema of the whole answer.
        before: The text before the value.
        is_whole: Whether the text holds the value already.
    """
    # An empty array stands for the value: it ends by itself.
    return forced_text(root, before if is_whole else before + "[]")[:1]
