"""Find a place of a validation error in the schema of the arguments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from kiln_mcp.workbench.argument_schemas import VALUE

Schema = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class ArgumentPlace:
    """A place in the arguments.

    Attributes:
        steps: Its names and indices, without what pydantic adds for members of a union.
        names: The names that are valid beside its last step; none if unknown.
        schema: The schema of the value there; empty if unknown.
    """

    steps: tuple[int | str, ...]
    names: tuple[str, ...]
    schema: Schema


def place_of(schema: Schema, location: Sequence[int | str], *, is_name: bool) -> ArgumentPlace:
    """Return the place that pydantic's location means.

    Args:
        schema: The schema of the arguments.
        location: Pydantic's location.
        is_name: Whether the last step is the name of an argument that is missing or unknown.
    """
    steps: list[int | str] = []
    names: tuple[str, ...] = ()
    node: Schema = schema
    for index, step in enumerate(location):
        below = _below(node, step)
        if below is None and (member := _member(node, step)) is not None:
            node = member
        elif below is not None or (is_name and index == len(location) - 1) or not node:
            names = tuple(dict.fromkeys(_property_names(node)))
            steps.append(step)
            node = below or {}
    return ArgumentPlace(tuple(steps), names, node)


def values_of(schema: Schema) -> list[str]:
    """Return the only values that a schema allows; none if there are others."""
    values = schema.get("enum")
    return [str(value) for value in values] if isinstance(values, list) else []


def members_of(schema: Schema) -> list[Schema]:
    """Return the kinds of value that a schema allows."""
    members = schema.get("anyOf")
    if not isinstance(members, list):
        return [schema]
    return [kind for member in members if isinstance(member, dict) for kind in members_of(member)]


def tags_of(schema: Schema, name: str) -> list[str]:
    """Return the values of a property by which the members of a union differ."""
    parts = (_properties(member).get(name) for member in members_of(schema))
    return [value for part in parts if isinstance(part, dict) for value in values_of(part)]


def tag_of(schema: Schema) -> str:
    """Return the name of the property by which all members of a union differ; "" for none."""
    members = members_of(schema)
    names = list(_properties(members[0])) if len(members) > 1 else []
    for name in names:
        tags = tags_of(schema, name)
        if len(tags) == len(members) == len(set(tags)):
            return name
    return ""


def _properties(schema: Schema) -> Schema:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _property_names(schema: Schema) -> Iterator[str]:
    for member in members_of(schema):
        yield from _properties(member)


def _below(schema: Schema, step: int | str) -> Schema | None:
    """Return the schema of a property or of the items; None if there is none of this name."""
    for member in members_of(schema):
        items = member.get("items")
        if isinstance(step, int):
            part = items
        elif isinstance(items, dict):  # an object of any names is a list of pairs in a schema
            part = _properties(items).get(VALUE)
        else:
            part = _properties(member).get(step)
        if isinstance(part, dict):
            return part
    return None


def _member(schema: Schema, tag: int | str) -> Schema | None:
    """Return the member of a union that pydantic names by its tag."""
    members = members_of(schema)
    for member in members if len(members) > 1 else []:
        for part in _properties(member).values():
            if isinstance(part, dict) and values_of(part) == [tag]:
                return member
    return None
