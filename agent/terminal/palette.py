"""The styles of the terminal: the terminal's own colours, readable on light and dark.

Red and magenta have a contrast of 3.6 to 5.9 on white and on black in xterm's palette. Green and
cyan have 2 on white, so green stands only on marks that say the same without it.
"""

import os
from collections.abc import Mapping
from typing import Final, Literal

from rich.style import Style
from rich.theme import Theme

ColorSystem = Literal["auto", "standard", "256", "truecolor", "windows"]

THEME: Final = Theme(
    {
        "good": Style(color="green"),
        "bad": Style(color="red", bold=True),
        "warn": Style(color="magenta", bold=True),
        "tool": Style(bold=True),
        "muted": Style(dim=True),
        "person": Style(bold=True),
        "markdown.code": Style(color="magenta"),
        "markdown.code_block": Style(),
        "markdown.block_quote": Style(italic=True),
        "markdown.item.bullet": Style(bold=True),
        "markdown.item.number": Style(bold=True),
        "markdown.table.border": Style(dim=True),
        "markdown.table.header": Style(bold=True),
        "markdown.link": Style(underline=True),
        "markdown.link_url": Style(underline=True),
    }
)


def color_system(environment: Mapping[str, str]) -> ColorSystem | None:
    """Return the colours to use: the terminal's eight, or None where NO_COLOR or TERM forbid."""
    if environment.get("NO_COLOR") or not can_draw(environment):
        return None
    return "standard"


def can_draw(environment: Mapping[str, str]) -> bool:
    """Return whether a terminal of this environment understands escape codes at all."""
    return environment.get("TERM", "") not in {"", "dumb", "unknown"} or os.name == "nt"
