"""Write a next step as the command line that does it."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kiln_mcp.doors.cli.daemon_door import DaemonDoor, NoDaemon
from kiln_mcp.doors.cli.options import items_are_text
from kiln_mcp.workbench.answer_text import Step

if TYPE_CHECKING:
    from pydantic import JsonValue

    from kiln_mcp.errors import InvalidArguments
    from storage.errors import WorkbenchError


def properties_of(daemon: DaemonDoor, tool: str) -> "Mapping[str, JsonValue]":
    """Return the schemas of a tool's arguments by name; nothing for an unknown tool."""
    listing = daemon.listing(tool)
    if listing is not None:
        properties: Mapping[str, JsonValue] = listing["inputSchema"]["properties"]
        return properties
    from kiln_mcp.catalogue import find_capability
    from storage.errors import WorkbenchError

    try:
        schemas = find_capability(tool).input_schema.get("properties")
    except WorkbenchError:  # of an extension that is no longer installed
        return {}
    return schemas if isinstance(schemas, dict) else {}


_look_up = partial(properties_of, NoDaemon())


def command_line(
    step: Step,
    project: str | None = None,
    properties_of: "Callable[[str], Mapping[str, JsonValue]]" = _look_up,
) -> str:
    """Return the command of a next step with its options, and the reason as a comment.

    Args:
        step: The step.
        project: The project of the command before, for a tool of a project that names none.
        properties_of: Returns the schemas of a tool's arguments by name.
    """
    arguments = step.arguments or {}
    may_lack_project = project is not None and "project" not in arguments
    schemas: Mapping[str, JsonValue] = {}
    # Only then, because a look-up may import the tool's room.
    if may_lack_project or any(isinstance(value, list) for value in arguments.values()):
        schemas = properties_of(step.tool)
    if may_lack_project and "project" in schemas:
        arguments = {"project": project, **arguments}
    words = ["kiln-mcp", step.tool.replace("_", "-")]
    for name, value in arguments.items():
        schema = schemas.get(name)
        words += _option(name, value, schema if isinstance(schema, dict) else {})
    return f"{shlex.join(words)}  # {step.reason}"


def argument_text(error: "InvalidArguments") -> str:
    """Return the sentences about wrong arguments, with the command and its options as typed."""
    return error.text(error.capability.replace("_", "-"), _option_place)


def _option_place(place: Sequence[int | str]) -> str:
    """Return a place in the arguments as an option: "--items[0].input"."""
    from kiln_mcp.errors import place_text

    names = [f"--{str(step).replace('_', '-')}" for step in place[:1]]
    return place_text([*names, *place[1:]])


def error_text(error: "WorkbenchError") -> str:
    """Return the sentence of an error, with its next steps as commands on lines of their own."""
    text = str(error)
    for step in error.next:
        text = text.replace(f" Next: {step}.", f"\n  {command_line(step)}")
    return text


def _option(name: str, value: "JsonValue", schema: "Mapping[str, JsonValue]") -> Iterable[str]:
    """Return the words of one option, as `option_of` reads them."""
    flag = name.replace("_", "-")
    match value:
        case None:
            return []
        case bool():
            return [f"--{flag}" if value else f"--no-{flag}"]
        case str() | int() | float():
            return [f"--{flag}", str(value)]
        case list() if items_are_text(schema):
            return [word for item in value for word in (f"--{flag}", str(item))]
        case _:
            return [f"--{flag}", json.dumps(value, ensure_ascii=False)]
