"""Attributes of spans: OTLP's typed values, flat keys with indices, and JSON within text."""

from collections.abc import Iterable, Mapping
from typing import Final, cast

from storage.exchange.examples import json_value, list_of, object_of

Attributes = Mapping[str, object]

_DEEPEST: Final = 32
_MOST_ENTRIES: Final = 10_000


def attributes_of(value: object) -> dict[str, object]:
    """Return attributes by their keys: OTLP's list of keys and values, or an object."""
    entries = list_of(value)
    if entries is not None:
        pairs = (object_of(entry) or {} for entry in entries)
        return {str(pair["key"]): any_value(pair.get("value")) for pair in pairs if "key" in pair}
    return _flat(object_of(value) or {}, "", 0)


def any_value(value: object, depth: int = 0) -> object:
    """Return the plain value of OTLP's typed one."""
    data = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if len(data) != 1 or depth > _DEEPEST:
        return cast("object", value)
    kind, content = next(iter(data.items()))
    match kind.replace("_", "").casefold():
        case "stringvalue" | "boolvalue" | "doublevalue" | "bytesvalue":
            return content
        case "intvalue":
            return int(content) if isinstance(content, str) and _is_whole(content) else content
        case "arrayvalue":
            values = list_of((object_of(content) or {}).get("values")) or []
            return [any_value(entry, depth + 1) for entry in values]
        case "kvlistvalue":
            pairs = list_of((object_of(content) or {}).get("values")) or []
            objects = (object_of(pair) or {} for pair in pairs)
            return {
                str(pair["key"]): any_value(pair.get("value"), depth + 1)
                for pair in objects
                if "key" in pair
            }
        case _:
            return data


def subtree(attributes: Attributes, prefix: str) -> object | None:
    """Return what lies below a prefix, as lists and objects; None if there is nothing.

    It is one attribute with a list, an object or JSON text, or many whose keys go on with indices
    and names: `llm.input_messages.0.message.role`.
    """
    if attributes.get(prefix) is not None:
        return _nested_objects(json_value(attributes[prefix]), 0)
    start = f"{prefix}."
    below = {key[len(start) :]: attributes[key] for key in attributes if key.startswith(start)}
    return _tree(below.items()) if below else None


def first_of(attributes: Attributes, *keys: str) -> object | None:
    """Return the first attribute that has a value."""
    return next((attributes[key] for key in keys if attributes.get(key) not in (None, "")), None)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdigit() and len(text) < _DEEPEST


def _flat(data: Mapping[str, object], prefix: str, depth: int) -> dict[str, object]:
    """Return nested objects with dotted keys; lists stay as they are."""
    flat: dict[str, object] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value and depth < _DEEPEST:
            flat |= _flat(cast("dict[str, object]", value), f"{prefix}{key}.", depth + 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _nested_objects(value: object, depth: int) -> object:
    """Return a value whose objects with dotted keys are nested objects."""
    if isinstance(value, list) and depth <= _DEEPEST:
        return [_nested_objects(entry, depth + 1) for entry in cast("list[object]", value)]
    members = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if any("." in key for key in members):
        return _tree(members.items())
    return cast("object", value)


def _tree(entries: Iterable[tuple[str, object]]) -> object:
    """Return dotted keys as nested objects; objects whose keys are all numbers become lists."""
    root: dict[str, object] = {}
    for key, value in entries:
        steps = key.split(".")[:_DEEPEST]
        node = root
        for step in steps[:-1]:
            below = node.setdefault(step, {})
            if not isinstance(below, dict):
                break
            node = cast("dict[str, object]", below)
        else:
            node[steps[-1]] = value
    return _with_lists(root)


def _with_lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    members = {key: _with_lists(entry) for key, entry in cast("dict[str, object]", value).items()}
    if members and all(key.isdecimal() for key in members) and len(members) <= _MOST_ENTRIES:
        return [members[key] for key in sorted(members, key=int)]
    return members
