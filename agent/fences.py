"""Foreign text made safe: fenced as data for a model, as plain characters for a person."""

import re
import unicodedata

_TAG = "tool-result"
# Models read `< /tag`, `<\tag` and `< / TAG` as tags too, so anything but a word may stand
# between the bracket and the name. Of several brackets the last one counts, which keeps it linear.
_TAG_PATTERN = re.compile(rf"<(?=[^<a-zA-Z0-9]*{_TAG})", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""


def fence(tool: str, text: str) -> str:
    """Return a tool's result between tags that nothing inside it can close.

    Args:
        tool: The name of a tool, as a server or a model wrote it.
        text: Any text.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "", tool)
    safe = _TAG_PATTERN.sub("&lt;", text)
    return f'<{_TAG} tool="{name}">\n{safe}\n</{_TAG}>'


def printable(text: str) -> str:
    """Return the text without what could move a terminal's cursor or reorder what is read.

    Newlines and tabs stay; any other control, format or unassigned character becomes `�`.
    """
    return "".join(
        character
        if character in "\n\t" or character in _JOINERS or not _is_invisible(character)
        else "\N{REPLACEMENT CHARACTER}"
        for character in text.replace("\r\n", "\n")
    )


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE
