"""Say in sentences what is wrong with the arguments of a call."""

import math
import typing
from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kiln_mcp.errors import ArgumentProblem
from kiln_mcp.workbench.argument_places import Schema, place_of, tags_of, values_of
from kiln_mcp.workbench.value_rules import broken_rule, list_choices
from storage.text.characters import repair_surrogates
from storage.text.excerpts import excerpt
from storage.text.suggestions import did_you_mean

_LONGEST_VALUE = 60
Steps = tuple[int | str, ...]


def argument_problems(error: ValidationError, schema: Schema) -> list[ArgumentProblem]:
    """Return a problem for each validation error, with the valid names or values.

    Args:
        error: What pydantic says.
        schema: The JSON schema of the arguments.
    """
    return [_problem(detail, schema) for detail in error.errors(include_url=False)]


def unintended_values(
    arguments: object, values: object, place: Steps = ()
) -> Iterator[ArgumentProblem]:
    """Return a problem for each value that pydantic takes and nobody means.

    Such values are `true` for a number, a number that is not finite, and a lone surrogate.

    Args:
        arguments: What arrived.
        values: The same after validation.
        place: Where they stand in the arguments, such as ("scores", "Right").
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
                yield from unintended_values(inputs.get(step), value, (*place, step))


def _problem(detail: ErrorDetails, schema: Schema) -> ArgumentProblem:
    kind = detail["type"]
    is_name = kind in {"extra_forbidden", "missing"}
    place = place_of(schema, detail["loc"], is_name=is_name)
    if kind == "extra_forbidden":
        suggestion = did_you_mean(str(place.steps[-1]), place.names)
        valid = f" It takes: {', '.join(place.names)}." if place.names else ""
        return ArgumentProblem("Unknown argument", place.steps, f".{suggestion}{valid}")
    if kind == "missing":
        return _missing(place.steps, values_of(place.schema))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        context = detail.get("ctx", {})
        name = str(context.get("discriminator", "")).strip("'")
        tags, steps = tags_of(place.schema, name), (*place.steps, name)
        if "tag" not in context:
            return _missing(steps, tags)
        return _wrong_value(steps, list_choices(tags, context["tag"]), context["tag"])
    return _wrong_value(place.steps, broken_rule(detail, place.schema), detail["input"])


def _missing(place: Steps, values: Sequence[str]) -> ArgumentProblem:
    valid = f" It has to be one of: {', '.join(values)}." if values else ""
    return ArgumentProblem("The argument", place, f" is missing.{valid}")


def _wrong_value(place: Steps, rule: str, value: object) -> ArgumentProblem:
    text = excerpt(repr(value), _LONGEST_VALUE)
    return ArgumentProblem("The argument", place, f" is wrong: {rule} (given: {text}).")


def _entries(value: object) -> Mapping[int | str, object]:
    if isinstance(value, Mapping):
        return typing.cast("Mapping[int | str, object]", value)
    if isinstance(value, list | tuple):
        return dict(enumerate(typing.cast("Sequence[object]", value)))
    return {}
