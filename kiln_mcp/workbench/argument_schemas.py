"""JSON Schema of a capability's arguments, in the plain form that all clients understand."""

from typing import Final

from pydantic import BaseModel, JsonValue
from pydantic.json_schema import GenerateJsonSchema

from storage.text.schema_references import inline_references

_DROPPED_KEYS: Final = frozenset({"$defs", "title", "discriminator"})
_TYPE_KEYS: Final = frozenset({"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"})
_ANY_VALUE: Final[dict[str, JsonValue]] = {
    "anyOf": [{"type": kind} for kind in ("string", "object", "array", "number", "boolean")]
}
"""The schema of any JSON value, in a form that every client reads."""


def schema_of(model: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the schema of arguments; an argument that may be null may be left out instead."""
    schema = _without_nulls(_compact(model.model_json_schema(schema_generator=_PlainSchema)))
    return schema if isinstance(schema, dict) else {}


class _PlainSchema(GenerateJsonSchema):
    """JSON Schema without the titles that pydantic makes from field names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _compact(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the schema with local references put in place, without the titles of models.

    Several clients do not follow `$ref`; our models are not recursive.
    """

    def resolve(node: JsonValue, *, names: bool = False) -> JsonValue:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        schema_node = {
            key: resolve(value, names=key == "properties")
            for key, value in node.items()
            if names or key not in _DROPPED_KEYS
        }
        if names:
            return schema_node
        if schema_node.get("additionalProperties") in (True, _ANY_VALUE):
            del schema_node["additionalProperties"]
        return schema_node if _TYPE_KEYS & schema_node.keys() else {**_ANY_VALUE, **schema_node}

    compact = resolve(inline_references(schema))
    return compact if isinstance(compact, dict) else {}


def _without_nulls(node: JsonValue) -> JsonValue:
    """Return a schema without the nulls that mean an argument is left out, at any depth."""
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    argument = {key: _without_nulls(value) for key, value in node.items()}
    options = argument.get("anyOf")
    if not isinstance(options, list) or argument.get("default", 0) is not None:
        return argument
    kinds = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in argument.items() if key not in {"anyOf", "default"}}
    return {**kinds[0], **rest} if len(kinds) == 1 and isinstance(kinds[0], dict) else argument
