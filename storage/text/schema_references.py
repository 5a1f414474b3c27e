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
        schema = _target(root, reference)
    return None


def inline_root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema whose root says what it describes, where it was a `$ref` to a definition.

    Keywords beside the `$ref` stay. The schema may recur. A root that says the same keyword as
    its definition stays as it is.
    """
    for _ in range(DEEPEST_REFERENCE):
        target = _target(schema, schema.get("$ref"))
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if not isinstance(target, dict):
            break
        definition = cast("dict[str, Any]", target)
        if rest.keys() & definition.keys():
            break
        schema = {**definition, **rest}
    return schema


def _target(root: Mapping[str, Any], reference: object) -> object:
    """Return what a local reference names; None if it leads nowhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: object = root
    for part in reference.removeprefix("#").split("/")[1:]:
        target = _member(target, part.replace("~1", "/").replace("~0", "~"))
    return target


def _member(value: object, name: str) -> object:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None


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
