"""The part of a task's schema that a value is of: its branch, its type, its fields."""

import json
import math
import re
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from storage.text.schema_references import resolve_reference

Path = tuple[str, ...]
Schema = Mapping[str, JsonValue]

ANY_SCHEMA: Final[Schema] = {}
_DEEPEST_FIELD: Final = 3
_DEEPEST_CHOICE: Final = 4
_CHOICES: Final = ("anyOf", "oneOf")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def field_paths(schema: Schema | None) -> list[Path]:
    """Return the paths of an object schema's fields, outer ones first; empty for any other."""
    return _paths(schema, schema, ()) if schema else []


def _paths(schema: Schema, root: Schema, path: Path) -> list[Path]:
    if len(path) >= _DEEPEST_FIELD:
        return []
    properties = _properties(schema, root, 0)
    inner = [
        inner_path
        for name, part in properties.items()
        for inner_path in _paths(part, root, (*path, name))
    ]
    return [(*path, name) for name in properties] + inner


def _properties(schema: Schema, root: Schema, depth: int) -> dict[str, Schema]:
    """Return the fields of a schema and of all its branches."""
    target = _target(schema, root)
    own = target.get("properties")
    fields: dict[str, Schema] = {}
    if isinstance(own, dict):
        fields = {name: part for name, part in own.items() if isinstance(part, dict)}
    if depth < _DEEPEST_CHOICE:
        for word in ("allOf", *_CHOICES):
            for branch in _members(target, word):
                fields = _properties(branch, root, depth + 1) | fields
    return fields


def _members(schema: Schema, word: str) -> list[Schema]:
    members = schema.get(word)
    if not isinstance(members, list):
        return []
    return [member for member in members if isinstance(member, dict)]


def _target(schema: Schema, root: Schema) -> Schema:
    """Return what a schema's local `$ref` names; a reference that leads nowhere allows anything."""
    target = resolve_reference(root, dict(schema))
    return ANY_SCHEMA if target is None else target


def branch_of(schema: Schema, root: Schema, value: JsonValue) -> Schema:
    """Return the schema of a value: references followed, and of each choice the branch it takes."""
    schema = _with_references(schema, root)
    for _ in range(_DEEPEST_CHOICE):
        word = next((word for word in _CHOICES if _members(schema, word)), None)
        if word is None:
            break
        branches = [_with_references(choice, root) for choice in _members(schema, word)]
        suitable = [branch for branch in branches if _allows(branch, value)]
        best = max(suitable or branches, key=lambda branch: _fit(branch, value))
        rest = {key: part for key, part in schema.items() if key != word}
        schema = _join(rest, best)
    return schema


def _with_references(schema: Schema, root: Schema) -> Schema:
    """Return a schema with what its `$ref` and its `allOf` name."""
    target = _target(schema, root)
    for member in _members(target, "allOf"):
        target = _join(target, _target(member, root))
    return target


def _join(first: Schema, second: Schema) -> Schema:
    union: dict[str, JsonValue] = {**first, **second}
    own, second_fields = first.get("properties"), second.get("properties")
    if isinstance(own, dict) and isinstance(second_fields, dict):
        union["properties"] = {**own, **second_fields}
    return union


def _fit(branch: Schema, value: JsonValue) -> tuple[int, int]:
    """Return how well an object fits a branch: the constants that it has, then the fields."""
    properties = branch.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return 0, 0
    constants = [
        value.get(name) == part["const"]
        for name, part in properties.items()
        if isinstance(part, dict) and "const" in part
    ]
    return sum(constants) - constants.count(False), len(value.keys() & properties.keys())


def part_of(schema: Schema, name: str) -> Schema:
    """Return the schema of an object's member."""
    properties = schema.get("properties")
    part = properties.get(name) if isinstance(properties, dict) else None
    if part is None:
        part = schema.get("additionalProperties")
    return part if isinstance(part, dict) else ANY_SCHEMA


def items_of(schema: Schema) -> Schema:
    """Return the schema of a list's items."""
    part = schema.get("items")
    return part if isinstance(part, dict) else ANY_SCHEMA


def is_object_schema(schema: Schema | None) -> bool:
    """Whether a schema allows objects alone."""
    if not schema:
        return False
    union = _with_references(schema, schema)
    return types_of(union) == {"object"} or ("properties" in union and not types_of(union))


def _allows(schema: Schema, value: JsonValue) -> bool:
    return not types_of(schema) or bool(types_of(schema) & _type_names(value))


def types_of(schema: Schema) -> set[str]:
    """Return the names of the types that a schema allows; empty if it says none."""
    kind = schema.get("type")
    if isinstance(kind, list):
        return {str(name) for name in kind}
    return {str(kind)} if kind else set()


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


def as_typed(value: JsonValue, schema: Schema) -> JsonValue:
    """Return a value as the schema's type, where it can mean one thing only.

    Tables hold numbers as text, so a reference may say "75001" where the schema says integer.
    """
    types = types_of(schema)
    if not types or _type_names(value) & types:
        return value
    if isinstance(value, str) and types & {"integer", "number", "boolean"}:
        return _scalar_in(value, types)
    if "string" in types and isinstance(value, int | float) and not isinstance(value, bool):
        is_whole = isinstance(value, float) and value.is_integer()
        return json.dumps(int(value) if is_whole else value)
    return value


def _scalar_in(text: str, types: set[str]) -> JsonValue:
    word = text.strip()
    if "boolean" in types and word.casefold() in {"true", "false"}:
        return word.casefold() == "true"
    if not types & {"integer", "number"} or not _NUMBER.fullmatch(word):
        return text
    try:
        number = int(word)
    except ValueError:
        number = float(word)
    return number if math.isfinite(number) else text
