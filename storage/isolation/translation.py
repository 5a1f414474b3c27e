r"""Python's regular expressions in the syntax of RE2, which matches in linear time.

The translation keeps the question "is it found?" and drops groups. What RE2 lacks (look-around,
backreferences, atomic groups) or means otherwise has no translation:

- `\d`, `\w` and `\s` are ASCII in RE2 and become Unicode classes;
- `\b` is ASCII in RE2, so it holds for ASCII text alone, and `\B` differs in an empty text;
- `$` is also true before a last line end in Python;
- `{,3}` is plain text in RE2.
"""

import re
from dataclasses import dataclass
from typing import Final

_SPACE: Final = (
    r"\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
_CLASSES: Final = {"d": r"\p{Nd}", "w": r"_\p{L}\p{N}", "s": _SPACE}
_PLAIN_ESCAPES: Final = frozenset("afnrtv")
_CODE: Final = re.compile(r"\\x\{([0-9a-fA-F]+)\}")
_TOKEN: Final = re.compile(
    r"""
    \\x(?P<hex>[0-9a-fA-F]{2}) | \\u(?P<wide>[0-9a-fA-F]{4}) | \\(?P<escape>.)
    | (?P<open>\((?:\?P<[A-Za-z_]\w*>|\?:|(?!\?)))
    | (?P<flags>\(\?[ims]{1,3}[:)])
    | (?P<count>\{(?P<least>\d{0,4})(?P<comma>,)?(?P<most>\d{0,4})\})
    | (?P<class>\[)
    | (?P<end>\$)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Translation:
    """A pattern for RE2.

    Attributes:
        pattern: The pattern.
        ascii_only: Whether it means the same in ASCII text alone that is not empty.
        no_last_line_end: Whether it means the same only if the text does not end with a line end.
    """

    pattern: str
    ascii_only: bool = False
    no_last_line_end: bool = False


class _Untranslatable(Exception):
    """RE2 has nothing that means the same."""


def translate(pattern: str) -> Translation | None:
    """Return a pattern in RE2's syntax; None if RE2 has none that means the same."""
    parts: list[str] = []
    place = 0
    marks: set[str] = set()
    try:
        while place < len(pattern):
            token = _TOKEN.match(pattern, place)
            if token is None:
                return None
            place = token.end()
            if token["class"]:
                text, place = _class(pattern, place)
                parts.append(text)
            else:
                parts.append(_translate(token, marks))
    except _Untranslatable:
        return None
    text = "".join(parts)
    if "ignore" in marks and not _is_ascii(text):
        return None  # the two fold letters beyond ASCII differently
    return Translation(text, not marks.isdisjoint({"word", "ignore"}), "end" in marks)


def _is_ascii(text: str) -> bool:
    codes = _CODE.findall(text.replace(_SPACE, ""))
    return text.isascii() and all(int(code, 16) < 128 for code in codes)


def _translate(token: re.Match[str], marks: set[str]) -> str:
    if code := token["hex"] or token["wide"]:
        return f"\\x{{{code}}}"
    if escape := token["escape"]:
        return _escape(escape, marks)
    if token["open"]:
        return "(?:"
    if flags := token["flags"]:
        marks.update({"ignore"} if "i" in flags else ())
        if "m" in flags or (flags.endswith(")") and token.start()):
            raise _Untranslatable
        return flags
    if token["count"]:
        return _count(token)
    if token["end"]:
        marks.add("end")
        return r"\z"
    if token["other"] == "(":
        raise _Untranslatable
    return str(token["other"])


def _count(token: re.Match[str]) -> str:
    low, comma, high = token["least"], token["comma"], token["most"]
    if not low and not high:
        raise _Untranslatable  # plain text
    return f"{{{low or 0}{comma or ''}{high}}}"


def _escape(letter: str, marks: set[str]) -> str:
    if letter in "dwsDWS":
        return f"[{'^' if letter.isupper() else ''}{_CLASSES[letter.lower()]}]"
    if letter in "bB":
        marks.add("word")
        return f"\\{letter}"
    if letter in "AZ":
        return {"A": r"\A", "Z": r"\z"}[letter]
    return _one_character(letter)


def _one_character(letter: str) -> str:
    if letter in _PLAIN_ESCAPES:
        return f"\\{letter}"
    if letter.isalnum() or letter == "_":
        raise _Untranslatable
    return f"\\x{{{ord(letter):x}}}"


def _class(pattern: str, place: int) -> tuple[str, int]:
    """Return a character class that begins after its bracket, and where it ends."""
    is_negative = pattern.startswith("^", place)
    place += is_negative
    parts: list[str] = []
    first = True
    while first or not pattern.startswith("]", place):
        token = _TOKEN.match(pattern, place)
        if token is None:
            raise _Untranslatable
        if code := token["hex"] or token["wide"]:
            parts.append(f"\\x{{{code}}}")
            place = token.end()
        elif escape := token["escape"]:
            parts.append(_class_escape(escape))
            place = token.end()
        else:
            character = pattern[place]
            parts.append(character if character == "-" else f"\\x{{{ord(character):x}}}")
            place += 1
        first = False
    if not parts:
        raise _Untranslatable
    return f"[{'^' if is_negative else ''}{''.join(parts)}]", place + 1


def _class_escape(letter: str) -> str:
    if letter in "dws":
        return _CLASSES[letter]
    if letter in "bDWS":  # a backspace, and classes that RE2 cannot hold within another
        raise _Untranslatable
    return _one_character(letter)
