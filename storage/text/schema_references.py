"""Replace the references of a JSON Schema by the definitions that they name."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue


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
