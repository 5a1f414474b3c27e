"""A cheap look for extensions: `importlib.metadata` alone would take a third of the start."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

CAPABILITIES: Final = "kiln_mcp.capabilities"
EVALUATORS: Final = "kiln_mcp.evaluators"
"""The groups of entry points by which other distributions extend the workbench."""


def may_be_installed(folders: Iterable[str], groups: Iterable[str] = (CAPABILITIES,)) -> bool:
    """Return whether a distribution in these folders names one of our groups of entry points.

    Distributions in zip files are not seen: their commands are missing in the list, and work.
    """
    marks = [f"[{group}]".encode() for group in groups]
    for folder in folders:
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - as below
                if name.endswith("-info") and _holds(f"{folder}/{name}/entry_points.txt", marks):
                    return True
    return False


def _holds(file: str, marks: Iterable[bytes]) -> bool:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - a path object would take longer
            content = stream.read()
    except OSError:
        return False
    return any(mark in content for mark in marks)
