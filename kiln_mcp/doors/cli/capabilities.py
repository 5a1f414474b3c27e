"""The command of a capability, from its schema."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

import click

from kiln_mcp.doors.cli.command_table import Range
from kiln_mcp.doors.cli.current_project import PROJECT
from kiln_mcp.doors.cli.invocation import call
from kiln_mcp.doors.cli.options import UNBOUNDED, Need, option_of

_NO_OPTIONS: Final = frozenset({"detail"})
"""Arguments that a command has no option for: it prints whole answers."""


def command_of(
    listing: Mapping[str, Any], needs: Collection[str], ranges: Mapping[str, Range]
) -> click.Command:
    """Return the command of a capability.

    Args:
        listing: The capability as a tool of the server.
        needs: The arguments that it does not do without; an approval's id stands for them all.
        ranges: The least and the most of its numbers.
    """
    properties = listing["inputSchema"].get("properties", {})
    takes_approval = "approval_id" in properties

    def need_of(name: str) -> Need:
        if name not in needs:
            return Need.NONE
        if name == PROJECT:
            return Need.PROJECT
        return Need.UNLESS_APPROVED if takes_approval else Need.ALWAYS

    options = [
        option_of(name, part, need_of(name), ranges.get(name, UNBOUNDED))
        for name, part in properties.items()
        if name not in _NO_OPTIONS
    ]
    if takes_approval:
        text = "In a terminal: agree to its plan without a question."
        options.append(click.Option(["--yes"], is_flag=True, help=text))
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON."))
    return click.Command(
        listing["name"].replace("_", "-"),
        params=list(options),
        callback=partial(call, listing, needs_project=PROJECT in needs),
        help=listing["description"],
    )


def needed_arguments(name: str) -> tuple[str, ...]:
    """Return what a call of an installed capability needs, but for one with an approval's id.

    Raises:
        UnknownCapability: There is none of this name.
    """
    from kiln_mcp.catalogue import find_capability

    fields = find_capability(name).arguments.model_fields
    return tuple(field for field, info in fields.items() if info.is_required())


def ranges_in(schema: Mapping[str, Any]) -> dict[str, Range]:
    """Return the ranges of the numbers among arguments, by their names."""
    ranges: dict[str, Range] = {}
    for name, part in schema.get("properties", {}).items():
        kinds = [part, *part.get("anyOf", ())]
        lows = [kind["minimum"] for kind in kinds if "minimum" in kind]
        highs = [kind["maximum"] for kind in kinds if "maximum" in kind]
        if lows or highs:
            ranges[name] = (next(iter(lows), None), next(iter(highs), None))
    return ranges


def installed_listing(name: str) -> Mapping[str, Any]:
    """Return an installed capability as a tool of the server; it imports its room.

    Raises:
        UnknownCapability: There is none of this name.
    """
    from kiln_mcp.catalogue import find_capability
    from kiln_mcp.workbench.capability import Effect

    item = find_capability(name)
    return {
        "name": item.name,
        "title": item.title,
        "description": item.help,
        "inputSchema": item.input_schema,
        "annotations": {"readOnlyHint": item.effect is Effect.READS},
    }
