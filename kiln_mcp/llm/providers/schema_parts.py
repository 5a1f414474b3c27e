"""The parts of a JSON schema that fix the text of an answer."""

from typing import Any, Final, cast

from kiln_mcp.llm.messages import JsonSchema
from storage.text.schema_references import resolve_reference

_COMBINATIONS: Final = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "patternProperties"})


def properties_of(schema: JsonSchema) -> dict[str, Any]:
    """Return an object's properties by name."""
    properties = schema.get("properties")
    return cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}


def required_keys(schema: JsonSchema | None) -> tuple[str, ...]:
    """Return the keys that come first in an object, in their order."""
    if schema is None or schema.get("type") != "object" or _COMBINATIONS & schema.keys():
        return ()
    required = cast("list[str]", schema.get("required") or [])
    return tuple(name for name in properties_of(schema) if name in required)


def is_closed_object(schema: JsonSchema) -> bool:
    """Return whether an object has its required keys and no other."""
    has_optional = len(properties_of(schema)) > len(required_keys(schema))
    return not has_optional and schema.get("additionalProperties", False) is False


def items_of(root: JsonSchema, schema: JsonSchema) -> JsonSchema | None:
    """Return the schema of a list's items; None if it is not known."""
    return resolve_reference(root, schema.get("items"))


def constants_of(schema: JsonSchema) -> list[object]:
    """Return the values that a schema names; empty if it names none."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return cast("list[object]", values) if isinstance(values, list) else []


def kinds_of(root: JsonSchema, schema: JsonSchema | None) -> frozenset[str]:
    """Return the types that a value may have; empty if they are not known."""
    if schema is None:
        return frozenset()
    constants = constants_of(schema)
    if constants:
        return frozenset(_kind_of(value) for value in constants)
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(cast("list[str]", kind))
    for word in ("anyOf", "oneOf"):
        if word in schema:
            parts = [kinds_of(root, resolve_reference(root, part)) for part in schema[word]]
            return frozenset[str]().union(*parts) if all(parts) else frozenset()
    return frozenset()


def _kind_of(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case None:
            return "null"
        case list():
            return "array"
        case _:
            return "object"
