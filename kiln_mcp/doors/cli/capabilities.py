"""The command of a capability, from its schema."""

from functools import partial
from typing import Final

import click

from kiln_mcp.doors.cli.invocation import call
from kiln_mcp.doors.cli.options import option_of
from kiln_mcp.workbench.capability import AnyCapability

_NO_OPTIONS: Final = frozenset({"detail"})
"""Arguments that a command has no option for: it prints whole answers."""


def command_of(item: AnyCapability) -> click.Command:
    """Return the command of a capability, from its schema."""
    properties = item.input_schema.get("properties")
    required = item.input_schema.get("required")
    schemas = properties if isinstance(properties, dict) else {}
    required_names = required if isinstance(required, list) else []
    options = [
        option_of(name, schema if isinstance(schema, dict) else {}, required=name in required_names)
        for name, schema in schemas.items()
        if name not in _NO_OPTIONS
    ]
    if item.proposes:
        text = "In a terminal: agree to its plan without a question."
        options.append(click.Option(["--yes"], is_flag=True, help=text))
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON."))
    return click.Command(
        item.name.replace("_", "-"),
        params=list(options),
        callback=partial(call, item),
        help=item.help,
        short_help=item.title + ".",
    )
