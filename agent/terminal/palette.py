"""The styles of the terminal: the terminal's own colours, readable on light and dark."""

import os
from collections.abc import Mapping
from typing import Final, Literal

from rich.style import Style
from rich.theme import Theme

ColorSystem = Literal["auto", "standard", "256", "truecolor", "windows"]

CODE_THEME: Final = "ansi_light"
"""It names the terminal's eight colours and sets no background."""

THEME: Final = Theme(
    {
        "good": Style(color="green"),
        "bad": Style(color="red"),
        "warn": Style(color="magenta", bold=True),
        "tool": Style(color="cyan"),
        "muted": Style(dim=True),
        "person": Style(bold=True),
        "markdown.code": Style(color="cyan"),
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
