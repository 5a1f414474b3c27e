"""Follow the local references of a JSON Schema, or replace them by what they name."""

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import JsonValue

DEEPEST_REFERENCE: Final = 32
"""References that lead to references, up to which they are followed."""


def resolve_reference(root: Mapping[str, Any], schema: object) -> dict[str, Any] | None:
    """Return a schema with its local reference followed; None if it leads nowhere.

    Args:
        root: The whole schema, in which a reference is a JSON pointer.
        schema: A part of it.
    """
    for _ in range(DEEPEST_REFERENCE):
        if not isinstance(schema, dict):
            return None
        candidate = cast("dict[str, Any]", schema)
        reference = candidate.get("$ref")
        if reference is None:
            return candidate
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        schema = root
        for part in reference.removeprefix("#").split("/")[1:]:
            schema = _member(schema, part.replace("~1", "/").replace("~0", "~"))
    return None


def _member(value: object, name: str) -> object:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def inline_references(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a schema with each local `$ref` replaced by its definition, without `$defs`.

    Keywords beside a `$ref` stay and win over those of the definition. The schema must not recur:
    this is for the schemas of our own models, which never do.

    Raises:
        KeyError: A reference names no definition.
    """
    definitions = cast("Mapping[str, JsonValue]", schema.get("$defs") or {})

    def inline(node: JsonValue, *, has_names: bool = False) -> JsonValue:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str) and not has_names:
            target = inline(definitions[reference.rpartition("/")[2]])
            siblings = {key: inline(value) for key, value in node.items() if key != "$ref"}
            return {**target, **siblings} if isinstance(target, dict) else target
        return {
            key: inline(value, has_names=key == "properties" and not has_names)
            for key, value in node.items()
        }

    root = inline({key: value for key, value in schema.items() if key != "$defs"})
    return cast("dict[str, JsonValue]", root)
