"""Foreign text made safe: fenced as data for a model, as plain characters for a person."""

import re
import unicodedata

CUT_MARK = "… [cut: too long for a call]"
"""Ends the arguments of a call that are too long to be kept; it makes them no JSON."""
_TAG = "tool-result"
# Models read `< /tag`, `<\tag` and `< / TAG` as tags too, so anything but a word may stand
# between the bracket and the name. Of several brackets the last one counts, which keeps it linear.
_TAG_PATTERN = re.compile(rf"<(?=[^<a-zA-Z0-9]*{_TAG})", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_UNUSUAL = re.compile(r"[^\n\t -~]")
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
    return _UNUSUAL.sub(_shown_character, text.replace("\r\n", "\n"))


def _shown_character(match: re.Match[str]) -> str:
    character = match[0]
    is_harmful = unicodedata.category(character) in _INVISIBLE and character not in _JOINERS
    return "\N{REPLACEMENT CHARACTER}" if is_harmful else character
