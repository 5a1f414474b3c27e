"""What a call of a capability has to give."""

from collections.abc import Callable, Sequence

Needs = Sequence[Sequence[str]]
"""Groups of arguments' names: of each group a call gives one, unless it has an approval's id."""
NeedsOf = Callable[[str], Needs]
"""Returns what a capability needs, by its name."""


def nothing_needed(tool: str) -> Needs:
    """Return no needs: no capability is known."""
    return ()
