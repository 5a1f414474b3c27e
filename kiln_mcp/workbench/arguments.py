"""Say in sentences what is wrong with the arguments of a call."""

import math
import typing
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from kiln_mcp.errors import closest
from storage.text.characters import repair_surrogates
from storage.text.excerpts import excerpt

_LONGEST_VALUE = 60


def argument_problems(error: ValidationError, schema: JsonValue) -> list[str]:
    """Return a sentence for each validation error, with the valid names or values.

    Args:
        error: What pydantic says.
        schema: The JSON schema of the arguments.
    """
    details = error.errors(include_url=False)
    return [_problem(detail, _names_at(schema, detail["loc"])) for detail in details]


def unintended_values(arguments: object, values: object, place: str = "") -> Iterator[str]:
    """Return a sentence for each value that pydantic takes and nobody means.

    Such values are `true` for a number, a number that is not finite, and a lone surrogate.

    Args:
        arguments: What arrived.
        values: The same after validation.
        place: Where they stand in the arguments, such as "scores.Right".
    """
    match values:
        case bool():
            return
        case float() if not math.isfinite(values):
            yield _wrong_value(place, "it is no finite number", values)
        case int() | float() if isinstance(arguments, bool):
            yield _wrong_value(place, "it has to be a number", arguments)
        case str() if repair_surrogates(values) != values:
            yield _wrong_value(place, "it holds a lone surrogate", values)
        case _:
            inputs = _entries(arguments)
            for step, value in _entries(values).items():
                yield from unintended_values(inputs.get(step), value, f"{place}.{step}".lstrip("."))


def _names_at(schema: JsonValue, place: Sequence[int | str]) -> list[str]:
    """Return the names that are valid beside the last step of a place; none if unknown."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if len(place) == 1:
        return list(properties) if isinstance(properties, dict) else []
    step = place[0]
    if isinstance(step, int):
        return _names_at(schema.get("items") if isinstance(schema, dict) else None, place[1:])
    return _names_at(properties.get(step) if isinstance(properties, dict) else None, place[1:])


def _problem(detail: ErrorDetails, names: Sequence[str]) -> str:
    place = excerpt(".".join(str(part) for part in detail["loc"]))
    match detail["type"]:
        case "extra_forbidden":
            valid = f" It takes: {', '.join(names)}." if names else ""
            return f"Unknown argument '{place}'.{closest(str(detail['loc'][-1]), names)}{valid}"
        case "missing":
            return f"The argument '{place}' is missing."
        case _:
            return _wrong_value(place, detail["msg"], detail["input"])


def _wrong_value(place: str, reason: str, value: object) -> str:
    text = excerpt(repr(value), _LONGEST_VALUE)
    return f"The argument '{place}' is wrong: {excerpt(reason)} (given: {text})."


def _entries(value: object) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return typing.cast("Mapping[object, object]", value)
    if isinstance(value, list | tuple):
        return dict(enumerate(typing.cast("Sequence[object]", value)))
    return {}
