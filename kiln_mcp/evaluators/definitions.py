"""Read the arguments of a new evaluator, which depend on its kind."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import GetCoreSchemaHandler, JsonValue, ValidationError
from pydantic_core import CoreSchema

from kiln_mcp.errors import ArgumentProblem, InvalidArguments
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition
from kiln_mcp.evaluators.registry import installed_kinds
from kiln_mcp.workbench.argument_schemas import schema_of
from kiln_mcp.workbench.arguments import argument_problems, unintended_values
from kiln_mcp.workbench.lenient_arguments import as_meant

SETTINGS = "settings"
"""The argument with the settings of a kind that have no argument of their own."""


@dataclass(frozen=True, slots=True)
class KindName:
    """Annotates an argument: the name of an installed kind of evaluator."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of the names of all kinds that can be created."""
        del source
        kinds = installed_kinds().by_name
        return handler.generate_schema(
            Literal[tuple(name for name, kind in kinds.items() if kind.definition)]
        )


def add_extension_settings(schema: dict[str, JsonValue]) -> None:
    """Add to an argument's description what the kinds of installed extensions measure and take.

    Args:
        schema: The argument's JSON schema, changed in place.
    """
    help_texts = [
        _help_of(name, kind.definition)
        for name, kind in installed_kinds().by_name.items()
        if kind.definition and "." in name
    ]
    schema["description"] = " ".join([str(schema.get("description", "")), *help_texts])


def _help_of(name: str, definition: type[EvaluatorDefinition]) -> str:
    """Return the first line of a kind's help and the settings that it takes."""
    help_line, _, _ = inspect.cleandoc(definition.__doc__ or "").partition("\n")
    settings = ", ".join(field for field in definition.model_fields if field != "type")
    return f"{name}: {help_line or 'no help.'} Takes {settings or 'no settings'}."


def read_definition(
    tool: str, kind: str, own: Mapping[str, JsonValue], settings: Mapping[str, JsonValue]
) -> EvaluatorDefinition:
    """Return the definition of a new evaluator.

    Args:
        tool: The capability that is called.
        kind: The evaluator's kind.
        own: Settings with an argument of their own; null for those that are left out.
        settings: All others.

    Raises:
        InvalidArguments: The kind does not take a setting, lacks one, or has it twice.
    """
    definition = installed_kinds().by_name[kind].definition
    assert definition is not None, "an argument names only kinds that can be created"
    values = {name: value for name, value in own.items() if value is not None}
    if twice := values.keys() & settings.keys():
        problems = [
            ArgumentProblem("The argument", (SETTINGS, name), " is given twice.") for name in twice
        ]
        raise InvalidArguments(tool, problems)
    values = as_meant(definition, {"type": kind, **settings, **values})
    try:
        result = definition.model_validate(values)
    except ValidationError as error:
        problems = argument_problems(error, schema_of(definition))
        raise InvalidArguments(tool, list(_at_arguments(problems, own))) from error
    if problems := list(unintended_values(values, result.model_dump())):
        raise InvalidArguments(tool, list(_at_arguments(problems, own)))
    return result


def _at_arguments(
    problems: Iterable[ArgumentProblem], own: Mapping[str, JsonValue]
) -> Iterable[ArgumentProblem]:
    """Yield problems with a definition at the places of the call's arguments."""
    for problem in problems:
        if not problem.place:
            yield replace(problem, place=("type",))
        elif problem.place[0] in {"type", *own}:
            yield problem
        else:
            yield problem.under(SETTINGS)
