"""Options of a command, from the schema of a capability's arguments."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from kiln_mcp.doors.cli.command_table import Range

if TYPE_CHECKING:
    from pydantic import JsonValue


class Need(Enum):
    """Whether a command needs an option; the value is what its help says of that."""

    NONE = ""
    ALWAYS = " "
    UNLESS_APPROVED = " [required without --approval-id]"
    PROJECT = " [default: the project of the current folder]"


UNBOUNDED: Final = (None, None)
"""The range of a number that may be any."""


def option_of(
    name: str, schema: "Mapping[str, JsonValue]", need: Need, bounds: Range = UNBOUNDED
) -> click.Option:
    """Return the option of one argument; a structured value is given as JSON or @file.

    Args:
        name: The argument.
        schema: Its JSON schema.
        need: Whether the command needs it.
        bounds: The least and the most of a number.
    """
    required = need is Need.ALWAYS
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        types = [c for c in choices if isinstance(c, dict) and c.get("type") != "null"]
        schema = {**schema, **(types[0] if len(types) == 1 else {})}
    description = schema.get("description")
    note = description if isinstance(description, str) else ""
    default = schema.get("default")
    if default not in (None, "", []):
        default_text = (
            default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
        )
        note = f"{note} [default: {default_text}]"
    note = f"{note}{need.value}".strip()
    flag = f"--{name.replace('_', '-')}"
    enum = schema.get("enum")
    if isinstance(enum, list):
        kind = click.Choice([str(value) for value in enum])
        return click.Option([flag, name], type=kind, required=required, help=note)
    match schema.get("type"):
        case "string":
            return click.Option([flag, name], type=str, required=required, help=note)
        case "integer" | "number":
            kind = _number_type(schema["type"], bounds)
            return click.Option([flag, name], type=kind, required=required, help=note)
        case "boolean":
            switch = f"{flag}/--no-{name.replace('_', '-')}"
            return click.Option([switch, name], default=None, help=note)
        case "array" if items_are_text(schema):
            return click.Option(
                [flag, name],
                multiple=True,
                callback=_texts,
                required=required,
                help=f"{note} (may be repeated)",
            )
        case _:
            return click.Option(
                [flag, name],
                callback=_json_value,
                required=required,
                help=f"{note} (JSON or @file: {_shape(schema)})",
            )


def _number_type(
    kind: "JsonValue", bounds: Range
) -> click.IntRange | click.FloatRange | type[int] | type[float]:
    """Return the type of a number; one outside its range is refused before any import."""
    low, high = bounds
    if kind == "number":
        return float if bounds == UNBOUNDED else click.FloatRange(low, high)
    if bounds == UNBOUNDED:
        return int
    return click.IntRange(None if low is None else int(low), None if high is None else int(high))


def _shape(schema: "Mapping[str, JsonValue]") -> str:
    """Return the shape of a JSON argument in short: `{name, size?}`, `[{input, output?}, …]`."""
    kinds = schema.get("anyOf")
    if isinstance(kinds, list) and all(
        isinstance(kind, dict) and "properties" in kind for kind in kinds
    ):
        return " or ".join(_shape(kind) for kind in kinds if isinstance(kind, dict))
    items, properties = schema.get("items"), schema.get("properties")
    if isinstance(items, dict):
        return f"[{_shape(items)}, …]"
    if not isinstance(properties, dict):
        kind = schema.get("type")
        return "{…}" if kind == "object" else str(kind or "any value")
    required = schema.get("required")
    required_names = required if isinstance(required, list) else []
    names = [
        f'{name}: "{value}"'
        if (value := _only_value(part)) is not None
        else name + ("" if name in required_names else "?")
        for name, part in properties.items()
    ]
    return "{" + ", ".join(names) + "}"


def _only_value(part: "JsonValue") -> "JsonValue":
    """Return the one value that a property may have, None if there are more."""
    choices = part.get("enum") if isinstance(part, dict) else None
    return choices[0] if isinstance(choices, list) and len(choices) == 1 else None


def items_are_text(schema: "Mapping[str, JsonValue]") -> bool:
    """Return whether an argument is a list of texts, so that its option may be repeated."""
    items = schema.get("items")
    return isinstance(items, dict) and items.get("type") == "string" and "enum" not in items


def _texts(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the texts of an option; one that is a JSON list of texts stands for its texts."""
    del context, parameter
    return tuple(text for value in values for text in _texts_in(value))


def _texts_in(value: str) -> list[str]:
    try:
        entries: object = json.loads(value) if value.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        return [value]
    texts = cast("list[object]", entries) if isinstance(entries, list) else [None]
    return [*map(str, texts)] if all(isinstance(text, str) for text in texts) else [value]


def _json_value(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> "JsonValue":
    if value is None:
        return None
    from storage.text.excerpts import excerpt

    if value.isidentifier() and value not in {"true", "false", "null"}:
        return value  # an id or a name, which nobody quotes as JSON wants it
    flag = parameter.opts[0]
    source = f"{flag}: the file {excerpt(value[1:])!r}" if value.startswith("@") else flag
    try:
        text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
        return json.loads(text)
    except OSError as error:
        from storage.errors import system_reason

        problem = f"cannot be read: {system_reason(error)}"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:
        problem = f"is not valid JSON: {excerpt(error)}"
    raise click.UsageError(f"{source} {problem}. Give JSON or @FILE.", context)
