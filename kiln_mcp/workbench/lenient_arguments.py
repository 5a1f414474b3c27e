"""Take arguments in the forms that assistants give them: lists as JSON text, null and "" for none.

Some clients write a list or an object as JSON text, and fill in optional arguments with null or "".
An object of any names may be a list of names with their values, as its schema says. A list of one
entry may be the entry alone.
What such a value means is taken only where the value itself is refused.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from kiln_mcp.workbench.argument_schemas import NAME, VALUE

_MOST_ROUNDS: Final = 12
"""Each mends all faults of one validation; more come up only within what was JSON text."""
_DEEPEST: Final = 20
_STRUCTURE_MARKS: Final = frozenset('[{"')
"""How JSON text of a list or an object begins, or text that holds such a text."""

Place = tuple[int | str, ...]


def as_meant(model: type[BaseModel], arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return arguments as they are meant; what cannot be told stays, and is refused later.

    Args:
        model: The arguments' model.
        arguments: JSON values by argument name.
    """
    values = dict(arguments)
    stuck: set[Place] = set()
    for _ in range(_MOST_ROUNDS):
        try:
            typed_values = model.model_validate(values)
        except ValidationError as error:
            mended_values = _repair(model, values, error, stuck)
            if mended_values is None:
                return values
            values = mended_values
        else:
            return cast("dict[str, JsonValue]", _without_empty(typed_values, values))
    return values


def _without_empty(typed_value: object, value: object) -> object:
    """Return a value without the optional texts in it that are empty, at any depth.

    Args:
        typed_value: The value as its model has it.
        value: The value as it arrived.
    """
    if isinstance(typed_value, BaseModel) and isinstance(value, dict):
        fields = type(typed_value).model_fields
        parts = cast("dict[str, object]", value)
        return {
            name: _without_empty(getattr(typed_value, name, None), part)
            for name, part in parts.items()
            if not (part == "" and _is_optional(fields.get(name)))
        }
    if isinstance(typed_value, list | tuple) and isinstance(value, list):
        pairs = zip(cast("list[object]", typed_value), cast("list[object]", value), strict=True)
        return [_without_empty(first, second) for first, second in pairs]
    return value


def _is_optional(field: FieldInfo | None) -> bool:
    return field is not None and not field.is_required()


def _repair(
    model: type[BaseModel],
    values: Mapping[str, JsonValue],
    error: ValidationError,
    stuck: set[Place],
) -> dict[str, JsonValue] | None:
    """Return the values with their faults mended; None if none can be.

    Args:
        model: The arguments' model.
        values: The arguments.
        error: Their faults.
        stuck: Places that cannot be mended; those of required arguments are added.
    """
    changed: dict[str, JsonValue] = copy.deepcopy(dict(values))
    new_structures: set[Place] = set()
    removed: dict[Place, JsonValue] = {}
    for fault in error.errors(include_url=False, include_context=False):
        place = _place_of(values, fault["loc"])
        if not place or place in stuck | new_structures | removed.keys():
            continue
        value = _value_at(values, place)
        parent = _parent_of(changed, place)
        meaning = _structure_of(value, fault["type"])
        if meaning is not None:
            parent[place[-1]] = meaning
            new_structures.add(place)
        elif (value is None or value == "") and isinstance(parent, dict):
            removed[place] = cast("JsonValue", value)
            del parent[place[-1]]
    for place in removed.keys() & set(_missing_places(model, changed)):
        _parent_of(changed, place)[place[-1]] = removed.pop(place)
        stuck.add(place)
    return changed if new_structures or removed else None


def _structure_of(value: object, fault: str) -> JsonValue:
    """Return the list or object that a value means; None if it means none."""
    if isinstance(value, str) and value.strip()[:1] in _STRUCTURE_MARKS:
        return _structure_in(value)
    if fault == "list_type" and value and isinstance(value, str | int | float | dict):
        return [cast("JsonValue", value)]
    if isinstance(value, list) and fault == "dict_type":
        return cast("JsonValue", _entries_in(cast("list[JsonValue]", value)))
    return None


def _structure_in(text: str) -> JsonValue:
    """Return the list or object that a text is as JSON, also twice so; None if it is none."""
    try:
        value = cast("JsonValue", json.loads(text))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, str) and value.strip()[:1] in {"[", "{"}:
        return _structure_in(value)
    return value if isinstance(value, list | dict) else None


def _entries_in(pairs: Sequence[JsonValue]) -> dict[str, JsonValue] | None:
    """Return the object that a list of names with their values means, None if it means none."""
    entries: dict[str, JsonValue] = {}
    for pair in pairs:
        if not isinstance(pair, dict) or pair.keys() != {NAME, VALUE} or pair[NAME] in entries:
            return None
        entries[str(pair[NAME])] = pair[VALUE]
    return entries


def _place_of(values: object, location: Sequence[int | str]) -> Place:
    """Return where a fault lies in the values: a location without the names of union members."""
    place: list[int | str] = []
    node = values
    for step in location[:_DEEPEST]:
        if isinstance(node, dict) and step in node:
            node = cast("dict[str, Any]", node)[str(step)]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):  # pyright: ignore[reportUnknownArgumentType]
            node = cast("list[Any]", node)[step]
        else:
            continue
        place.append(step)
    return tuple(place)


def _value_at(values: object, place: Place) -> object:
    node: Any = values
    for step in place:
        node = node[step]
    return node


def _parent_of(values: Any, place: Place) -> Any:
    for step in place[:-1]:
        values = values[step]
    return values


def _missing_places(model: type[BaseModel], values: Mapping[str, JsonValue]) -> Iterator[Place]:
    """Yield the places of required arguments that are not there."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            if fault["type"] == "missing":
                *parent, name = fault["loc"]
                yield (*_place_of(values, parent), name)
