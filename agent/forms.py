"""Forms that a server puts to the person: flat fields, and what the person's words mean in them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from pydantic import JsonValue

from storage.errors import Refusal

FieldKind = Literal["text", "number", "integer", "boolean", "choice", "choices"]
FormValue = str | int | float | bool | list[str]
_KINDS: Final[Mapping[str, FieldKind]] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}
_YES: Final = frozenset({"y", "yes", "true", "1"})
_NO: Final = frozenset({"n", "no", "false", "0"})
_SECRETS: Final = ("password", "passphrase", "secret", "api key", "apikey", "access token",
                   "private key", "card number")  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormField:
    """One field.

    Attributes:
        name: What the server calls it.
        title: What it is called for a person.
        help: What it is for.
        kind: What it takes; `choices` are any number of the options.
        options: The values to choose from.
        labels: What each option is called for a person.
        is_required: Whether it needs an answer.
        default: The answer if the person gives none; None for no answer.
        lowest: The smallest number, or the fewest characters or choices; None for any.
        highest: The largest number, or the most characters or choices; None for any.
    """

    name: str
    title: str
    help: str
    kind: FieldKind
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    is_required: bool = False
    default: JsonValue = None
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class FormReply:
    """The person's answer to a form; `values` are theirs if they accepted."""

    action: Literal["accept", "decline", "cancel"]
    values: Mapping[str, FormValue]


def secret_in(fields: Sequence[FormField]) -> str:
    """Return the title of a text field that asks for a secret; empty if none does.

    MCP forbids servers to ask for secrets in a form.
    """
    for field in fields:
        words = f"{field.name} {field.title} {field.help}".casefold().replace("_", " ")
        if field.kind == "text" and any(word in words for word in _SECRETS):
            return field.title
    return ""


def fields_of(schema: Mapping[str, JsonValue]) -> tuple[FormField, ...] | None:
    """Return the fields of a form; None if it is not flat, or has none.

    Args:
        schema: The `requestedSchema` of an elicitation (MCP 2025-06-18 and later).
    """
    properties = schema.get("properties")
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    if not isinstance(properties, Mapping) or not properties:
        return None
    fields = [
        _field(name, cast("Mapping[str, JsonValue]", part), is_required=name in names)
        for name, part in properties.items()
        if isinstance(part, Mapping)
    ]
    flat_fields = [field for field in fields if field is not None]
    return tuple(flat_fields) if len(flat_fields) == len(properties) else None


def _field(name: str, part: Mapping[str, JsonValue], *, is_required: bool) -> FormField | None:
    items = part.get("items")
    is_many = part.get("type") == "array" and isinstance(items, Mapping)
    source = cast("Mapping[str, JsonValue]", items) if is_many else part
    options, labels = _options(source, part)
    kind = _KINDS.get(str(part.get("type")))
    if is_many:
        kind = "choices" if options else None
    elif options and kind in {"text", None}:
        kind = "choice"
    if kind is None:
        return None
    low, high = _BOUNDS[kind]
    return FormField(
        name,
        str(part.get("title") or name),
        str(part.get("description") or ""),
        kind,
        options if kind in {"choice", "choices"} else (),
        labels if kind in {"choice", "choices"} else (),
        is_required,
        part.get("default"),
        _number_in(part.get(low)),
        _number_in(part.get(high)),
    )


_BOUNDS: Final[Mapping[FieldKind, tuple[str, str]]] = {
    "text": ("minLength", "maxLength"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "boolean": ("", ""),
    "choice": ("", ""),
    "choices": ("minItems", "maxItems"),
}


def _options(
    source: Mapping[str, JsonValue], part: Mapping[str, JsonValue]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of a field and their labels, in any of the protocol's spellings."""
    choices = source.get("oneOf") or source.get("anyOf")
    if isinstance(choices, list):
        pairs = [(entry.get("const"), entry.get("title")) for entry in choices
                 if isinstance(entry, Mapping) and "const" in entry]  # fmt: skip
        return (
            tuple(str(value) for value, _ in pairs),
            tuple(str(title or value) for value, title in pairs),
        )
    values = source.get("enum")
    options = tuple(map(str, values)) if isinstance(values, list) else ()
    names = part.get("enumNames")
    labels = tuple(map(str, names)) if isinstance(names, list) else options
    return options, labels if len(labels) == len(options) else options


def _number_in(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def value_in(field: FormField, words: str) -> FormValue | None:
    """Return what a person's words mean in a field; None if they leave it out.

    Raises:
        Refusal: They are no answer to it. The sentence says what is one.
    """
    words = words.strip()
    if not words:
        return _absent(field)
    match field.kind:
        case "boolean":
            return _truth(field, words)
        case "number" | "integer":
            return _number(field, words)
        case "choice":
            return _choice(field, words)
        case "choices":
            parts = [part for part in map(str.strip, words.split(",")) if part]
            choices = list(dict.fromkeys(_choice(field, part) for part in parts))
            _check_bounds(field, len(choices), "choices")
            return choices
        case "text":
            _check_bounds(field, len(words), "characters")
            return words


def _absent(field: FormField) -> FormValue | None:
    match field.default:
        case str() | bool() | int() | float() as default:
            return default
        case list() as defaults:
            return [str(entry) for entry in defaults]
        case _ if field.is_required:
            raise Refusal("{title} needs an answer.", title=field.title)
        case _:
            return None


def _truth(field: FormField, words: str) -> bool:
    word = words.casefold()
    if word not in _YES | _NO:
        raise Refusal("{title}: answer y or n.", title=field.title)
    return word in _YES


def _number(field: FormField, words: str) -> int | float:
    try:
        number = float(words)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (field.kind == "integer" and not number.is_integer()):
        noun = "whole number" if field.kind == "integer" else "number"
        raise Refusal("{title}: {words} is no {noun}.", title=field.title, words=words, noun=noun)
    _check_bounds(field, number, "")
    return int(number) if field.kind == "integer" else number


def _choice(field: FormField, words: str) -> str:
    """Return the option of a number, a label or a value."""
    if words in field.options:
        return words
    if words.isdecimal() and 0 < int(words) <= len(field.options):
        return field.options[int(words) - 1]
    for option, label in zip(field.options, field.labels, strict=True):
        if words.casefold() in {option.casefold(), label.casefold()}:
            return option
    raise Refusal(
        "{title}: {words} is none of the options. Give a number from 1 to {count}, or a name.",
        title=field.title,
        words=words,
        count=len(field.options),
    )


def _check_bounds(field: FormField, number: float, unit: str) -> None:
    low = -math.inf if field.lowest is None else field.lowest
    high = math.inf if field.highest is None else field.highest
    if not low <= number <= high:
        raise Refusal(
            "{title}: {number} {unit}is not between {low} and {high}.",
            title=field.title,
            number=f"{number:g}",
            unit=f"{unit} " if unit else "",
            low=f"{low:g}",
            high=f"{high:g}",
        )


def own_words_field(fields: Sequence[FormField], place: int) -> FormField | None:
    """Return the optional text after an optional choice: words that are no option go there."""
    if place + 1 >= len(fields):
        return None
    choice, other = fields[place], fields[place + 1]
    is_pair = (choice.kind, other.kind) == ("choice", "text")
    return other if is_pair and not choice.is_required and not other.is_required else None
