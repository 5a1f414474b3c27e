"""JSON Schema of a capability's arguments, in the plain form that all clients understand."""

from typing import Final

from pydantic import BaseModel, JsonValue
from pydantic.json_schema import GenerateJsonSchema

from storage.text.schema_references import inline_references

NAME: Final = "name"
VALUE: Final = "value"
"""The keys of an entry of an object of any names, where it is given as a list."""
_DROPPED_KEYS: Final = frozenset({"$defs", "title", "discriminator"})
_VALUE_KEYS: Final = frozenset({"default", "enum", "const", "examples"})
"""Keywords that hold values, not schemas."""
_TYPE_KEYS: Final = frozenset({"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"})
_PLAIN_KINDS: Final[list[JsonValue]] = [
    {"type": kind} for kind in ("string", "object", "number", "boolean")
]
_ANY_VALUE: Final[dict[str, JsonValue]] = {
    "anyOf": [*_PLAIN_KINDS, {"type": "array", "items": {"anyOf": _PLAIN_KINDS}}]
}
"""The schema of any JSON value, in a form that every client reads: no list lacks its `items`."""


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
            key: value
            if key in _VALUE_KEYS and not names
            else resolve(value, names=key == "properties" and not names)
            for key, value in node.items()
            if names or key not in _DROPPED_KEYS
        }
        if names:
            return schema_node
        if schema_node.get("additionalProperties") in (True, False, _ANY_VALUE):
            del schema_node["additionalProperties"]
        if not _TYPE_KEYS & schema_node.keys():
            return {**_ANY_VALUE, **schema_node}
        return _in_common_words(schema_node)

    compact = resolve(inline_references(schema))
    return compact if isinstance(compact, dict) else {}


def _in_common_words(node: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a schema without the keywords that some clients do not read.

    `const` becomes an `enum` of one, `oneOf` an `anyOf`, a list of fixed places gets `items`, and
    an object of any names becomes a list.
    """
    common = {"anyOf" if key == "oneOf" else key: value for key, value in node.items()}
    if "const" in common:
        common["enum"] = [common.pop("const")]
    places = common.pop("prefixItems", None)
    if isinstance(places, list) and "items" not in common:
        kinds = [kind for index, kind in enumerate(places) if kind not in places[:index]]
        common["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if common.get("type") == "array":
        common.setdefault("items", _ANY_VALUE)
    if common.get("minimum") in (0, 1) and "maximum" not in common:
        del common["minimum"]  # nobody means less
    items = common.get("items")
    if isinstance(items, dict) and "properties" in items:  # what the list holds is said of the list
        common["items"] = {key: value for key, value in items.items() if key != "description"}
    values = common.get("additionalProperties")
    if isinstance(values, dict) and "properties" not in common:
        return _as_pairs(common, values)
    return common


def _as_pairs(node: dict[str, JsonValue], values: JsonValue) -> dict[str, JsonValue]:
    """Return the schema of an object of any names as a list of names with their values.

    Strict converters refuse objects whose names are not listed. `as_meant` takes both forms.
    """
    pair: dict[str, JsonValue] = {
        "type": "object",
        "properties": {NAME: {"type": "string"}, VALUE: values},
        "required": [NAME, VALUE],
    }
    bounds = {"minItems": node.get("minProperties"), "maxItems": node.get("maxProperties")}
    rest = {
        key: value
        for key, value in node.items()
        if key not in {"additionalProperties", "minProperties", "maxProperties", "propertyNames"}
    }
    limits = {key: value for key, value in bounds.items() if value is not None}
    return {**rest, "type": "array", "items": pair, **limits}


def _without_nulls(node: JsonValue, *, names: bool = False) -> JsonValue:
    """Return a schema without the nulls that mean an argument is left out, at any depth."""
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    argument = {
        key: value
        if key in _VALUE_KEYS and not names
        else _without_nulls(value, names=key == "properties" and not names)
        for key, value in node.items()
    }
    if names:
        return argument
    if isinstance(default := argument.get("default"), dict):
        argument["default"] = {key: value for key, value in default.items() if value is not None}
        if not argument["default"]:
            del argument["default"]
    options = argument.get("anyOf")
    is_nullable = argument.get("default", 0) is None
    if argument.get("default", 0) in (None, "", []) or argument.get("default") is False:
        del argument["default"]  # that an argument is left out says the same
    if not isinstance(options, list) or not is_nullable:
        return argument
    kinds = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in argument.items() if key not in {"anyOf", "default"}}
    return {**kinds[0], **rest} if len(kinds) == 1 and isinstance(kinds[0], dict) else argument
