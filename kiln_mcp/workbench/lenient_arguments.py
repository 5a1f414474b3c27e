"""Take arguments in the forms that assistants give them: lists as JSON text, null and "" for none.

Some clients write a list or an object as JSON text, and fill in optional arguments with null or "".
An object of any names may be a list of names with their values, as its schema says.
What such a value means is taken only where the value itself is refused.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from kiln_mcp.workbench.argument_schemas import NAME, VALUE

_MOST_REPAIRS: Final = 50
_DEEPEST: Final = 20

Place = tuple[int | str, ...]


def as_meant(model: type[BaseModel], arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return arguments as they are meant; what cannot be told stays, and is refused later.

    Args:
        model: The arguments' model.
        arguments: JSON values by argument name.
    """
    values = {
        name: value
        for name, value in arguments.items()
        if not (value == "" and _may_be_none(model.model_fields.get(name)))
    }
    for _ in range(_MOST_REPAIRS):
        try:
            model.model_validate(values)
        except ValidationError as error:
            mended_values = _repair(model, values, error)
            if mended_values is None:
                return values
            values = mended_values
        else:
            return values
    return values


def _may_be_none(field: FieldInfo | None) -> bool:
    return field is not None and not field.is_required() and field.default is None


def _repair(
    model: type[BaseModel], values: Mapping[str, JsonValue], error: ValidationError
) -> dict[str, JsonValue] | None:
    """Return the values with one fault mended; None if none can be."""
    for fault in error.errors(include_url=False, include_context=False):
        place = _place_of(values, fault["loc"])
        if not place:
            continue
        value = _value_at(values, place)
        if isinstance(value, str) and (structure := _structure_in(value)) is not None:
            return _with(values, place, structure)
        is_list = isinstance(value, list) and fault["type"] == "dict_type"
        if is_list and (entries := _entries_in(cast("list[JsonValue]", value))) is not None:
            return _with(values, place, entries)
        if value is None or value == "":
            rest = _without(values, place)
            if rest is not None and not _is_missed(model, rest, place):
                return rest
    return None


def _structure_in(text: str) -> JsonValue:
    """Return the list or object that a text is as JSON, None if it is none."""
    if text.strip()[:1] not in {"[", "{"}:
        return None
    try:
        value = cast("JsonValue", json.loads(text))
    except (ValueError, RecursionError):
        return None
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


def _with(values: Mapping[str, JsonValue], place: Place, value: JsonValue) -> dict[str, JsonValue]:
    changed: Any = copy.deepcopy(dict(values))
    _parent_of(changed, place)[place[-1]] = value
    return changed


def _without(values: Mapping[str, JsonValue], place: Place) -> dict[str, JsonValue] | None:
    changed: Any = copy.deepcopy(dict(values))
    parent = _parent_of(changed, place)
    if not isinstance(parent, dict):
        return None
    del parent[place[-1]]
    return changed


def _parent_of(values: Any, place: Place) -> Any:
    for step in place[:-1]:
        values = values[step]
    return values


def _is_missed(model: type[BaseModel], values: Mapping[str, JsonValue], place: Place) -> bool:
    """Return whether an argument that was left out is required."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        return any(
            fault["type"] == "missing" and fault["loc"][-1] == place[-1]
            for fault in error.errors(include_url=False, include_context=False)
        )
    return False
