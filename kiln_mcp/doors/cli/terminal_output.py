"""The terminal of a command: short safe lines for the person, and a check that one is there."""

import sys
from typing import Final

import click

from kiln_mcp.workbench.answer_text import for_terminal
from storage.errors import Refusal
from storage.text.excerpts import excerpt_line

LONGEST_LINE: Final = 200


def require_terminal(command: str) -> None:
    """Refuse to go on if no person can answer on standard input.

    Raises:
        Refusal: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise Refusal(
            "kiln-mcp {command} asks a person, so it needs a terminal. Nothing has been changed. "
            "Run it in a shell of your own.",
            command=command,
        )


def print_note(line: str) -> None:
    """Print a line for the person to standard error."""
    click.echo(for_terminal(line), err=True)


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """Return a foreign text on one line, shortened, without control characters."""
    return excerpt_line(for_terminal(text), longest)
