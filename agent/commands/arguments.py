"""The words after a command as the arguments of a tool."""

import json
import shlex
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from storage.errors import Refusal

Schema = Mapping[str, JsonValue]


def read_arguments(words: str, schema: Schema, first: str) -> dict[str, JsonValue]:
    """Return words such as `refunds count=20` as arguments.

    Args:
        words: `name=value` gives an argument of the tool; all else is the first one.
        schema: The tool's input schema.
        first: The argument that words without a name give.

    Raises:
        Refusal: A quotation is not closed, or a value has the wrong form.
    """
    properties = cast("Mapping[str, Schema]", schema.get("properties") or {})
    arguments: dict[str, JsonValue] = {}
    rest: list[str] = []
    for word in _split(words):
        name, mark, value = word.partition("=")
        if mark and name in properties:
            arguments[name] = _value(name, value, properties[name])
        else:
            rest.append(word)
    if rest and first in properties:
        arguments[first] = _value(first, " ".join(rest), properties[first])
    elif rest:
        raise Refusal(
            "Nothing takes the words '{words}'. Write arguments as name=value: {names}.",
            words=" ".join(rest),
            names=sorted(properties),
        )
    return arguments


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:  # an apostrophe is no quotation mark
        return words.split()


def _value(name: str, text: str, schema: Schema) -> JsonValue:
    kinds = _kinds(schema)
    if "array" in kinds and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if kinds <= {"string", "null"}:
        return text
    try:
        return cast("JsonValue", json.loads(text))
    except ValueError as error:
        if "string" in kinds:
            return text
        raise Refusal(
            "The value '{text}' of {name} is no {kinds}.",
            text=text,
            name=name,
            kinds=" or ".join(sorted(kinds - {"null"})) or "JSON",
        ) from error


def _kinds(schema: Schema) -> set[str]:
    """Return the JSON types that a schema allows, as far as it names them."""
    kinds: set[str] = set()
    kind = schema.get("type")
    kinds |= {kind} if isinstance(kind, str) else set()
    for name in ("anyOf", "oneOf"):
        for choice in cast("list[Schema]", schema.get(name) or []):
            kinds |= _kinds(choice)
    return kinds
