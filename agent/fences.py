"""Foreign text made safe: fenced as data for a model, as plain characters for a person."""

import re
import unicodedata

CUT_MARK = "… [cut: too long for a call]"
"""Ends the arguments of a call that are too long to be kept; it makes them no JSON."""
_TAG = "tool-result"
_NOT_DONE = ' state="not done"'
# Models read `< /tag`, `<\tag` and `< / TAG` as tags too, so anything but a word may stand
# between the bracket and the name. Of several brackets the last one counts, which keeps it linear.
_TAG_PATTERN = re.compile(rf"<(?=[^<a-zA-Z0-9]*{_TAG})", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_UNUSUAL = re.compile(r"[^\n\t -~]")
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need."""


def fence(tool: str, text: str, *, is_done: bool = True) -> str:
    """Return a tool's result between tags that nothing inside it can close.

    Args:
        tool: The name of a tool, as a server or a model wrote it.
        text: Any text.
        is_done: Whether the call was carried out; the opening tag says if it was not.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "", tool)
    safe = _TAG_PATTERN.sub("&lt;", text)
    mark = "" if is_done else _NOT_DONE
    return f'<{_TAG} tool="{name}"{mark}>\n{safe}\n</{_TAG}>'


def is_not_done(result: str) -> bool:
    """Return whether a fenced result is that of a call that was not carried out."""
    return result.partition("\n")[0].endswith(f"{_NOT_DONE}>")


def results_of(tool: str, message: str) -> list[str]:
    """Return the fenced results of a tool in a message."""
    parts = message.split(f'<{_TAG} tool="{tool}">\n')[1:]
    return [part.partition(f"\n</{_TAG}>")[0] for part in parts]


def printable(text: str) -> str:
    """Return the text without what could move a terminal's cursor or reorder what is read.

    Newlines and tabs stay; any other control, format or unassigned character becomes `�`.
    """
    return _UNUSUAL.sub(_shown_character, text.replace("\r\n", "\n"))


def _shown_character(match: re.Match[str]) -> str:
    character = match[0]
    is_harmful = unicodedata.category(character) in _INVISIBLE and character not in _JOINERS
    return "\N{REPLACEMENT CHARACTER}" if is_harmful else character
