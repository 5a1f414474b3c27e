"""The command of a capability, from its schema."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import click

from kiln_mcp.doors.cli.invocation import call
from kiln_mcp.doors.cli.options import option_of

_NO_OPTIONS: Final = frozenset({"detail"})
"""Arguments that a command has no option for: it prints whole answers."""


def command_of(listing: Mapping[str, Any]) -> click.Command:
    """Return the command of a capability.

    Args:
        listing: The capability as a tool of the server.
    """
    schema = listing["inputSchema"]
    properties, required = schema.get("properties", {}), schema.get("required", ())
    options = [
        option_of(name, part, required=name in required)
        for name, part in properties.items()
        if name not in _NO_OPTIONS
    ]
    if "approval_id" in properties:
        text = "In a terminal: agree to its plan without a question."
        options.append(click.Option(["--yes"], is_flag=True, help=text))
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON."))
    return click.Command(
        listing["name"].replace("_", "-"),
        params=list(options),
        callback=partial(call, listing),
        help=listing["description"],
        short_help=listing["title"] + ".",
    )


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
