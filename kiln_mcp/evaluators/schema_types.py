"""The types that a JSON schema allows, and values read as one of them."""

import json
import math
import re
from collections.abc import Mapping

from pydantic import JsonValue


def allows_type(schema: Mapping[str, JsonValue], value: JsonValue) -> bool:
    """Return whether a schema allows the type of a value; one without a type allows any."""
    return not _types(schema) or bool(_types(schema) & _type_names(value))


def _types(schema: Mapping[str, JsonValue]) -> set[str]:
    kind = schema.get("type")
    return (
        {str(name) for name in kind} if isinstance(kind, list) else {str(kind)} if kind else set()
    )


def _type_names(value: JsonValue) -> set[str]:
    match value:
        case None:
            return {"null"}
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number", "integer"} if value.is_integer() else {"number"}
        case str():
            return {"string"}
        case list():
            return {"array"}
        case _:
            return {"object"}


def as_typed(value: JsonValue, schema: Mapping[str, JsonValue]) -> JsonValue:
    """Return a value as the schema's type, where it can mean one thing only.

    Tables hold numbers as text, so a reference may say "75001" where the schema says integer.
    """
    types = _types(schema)
    if not types or _type_names(value) & types:
        return value
    if isinstance(value, str) and types & {"integer", "number", "boolean"}:
        return _scalar_in(value, types)
    if "string" in types and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    return value


def _scalar_in(text: str, types: set[str]) -> JsonValue:
    word = text.strip()
    if "boolean" in types and word.casefold() in {"true", "false"}:
        return word.casefold() == "true"
    try:
        number = float(word) if re.search(r"[.eE]", word) else int(word)
    except ValueError:
        return text
    if not types & {"integer", "number"} or not math.isfinite(number):
        return text
    return number
