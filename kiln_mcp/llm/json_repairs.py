"""JSON that models write with small faults, of which each can mean one thing alone.

LaTeX in strings, last commas, Python's literals, names without quotes, other quotes, comments, a
decimal comma. What is missing is never made up: an answer that was cut off stays one.
"""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

LONGEST: Final = 50_000
"""Characters of a value that is repaired; no verdict is longer."""
DEEPEST: Final = 100
"""Levels of nesting: more than any schema needs, fewer than Python can write."""
_TOKEN: Final = re.compile(
    r"""[\[{]|[\]}]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)"""
    r"""|(?<=[\[{,:\s])'(?:[^'\\]|\\.)*+'(?=\s*+[,:\]}])""",
    re.DOTALL,
)
"""A string that has no end takes the rest, so that no start is tried twice; so does a comment."""
_LOOSE: Final = re.compile(
    r"""(?P<kept>"(?:[^"\\]|\\.)*+(?:"|\\?\Z))"""
    r"""|(?<=[\[{,:\s])'(?P<single>(?:[^'\\]|\\.|(?<=\w)'(?=\w))*+)'(?=\s*+[,:\]}])"""
    r"""|“(?P<curly>[^“”"\\]*+)”(?=\s*+[,:\]}])"""
    r"""|(?P<comment>//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\*?\Z))"""
    r"""|(?<=[{,\s])(?P<name>[^\W\d][\w-]*+)(?=\s*+:)"""
    r"""|(?<![\w.])(?P<literal>True|False|None)(?![\w.])"""
    r"""|(?P<comma>:\s*+[-+]?\d{1,15},\d{1,2})(?=\s*+[,}])""",
    re.DOTALL,
)
_LITERALS: Final = {"True": "true", "False": "false", "None": "null"}
_QUOTE: Final = re.compile(r"(\\.)|\"", re.DOTALL)
_ESCAPE: Final = re.compile(r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\')
_LAST_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|,(?=\s*+[}\]])', re.DOTALL)


def end_of_value(text: str, start: int) -> int | None:
    """Return where the bracket at a place is closed again; None if it is not, or too far away."""
    depth = 0
    for token in _TOKEN.finditer(text, start, start + LONGEST):
        if token.group() in {"[", "{"}:
            depth += 1
            if depth > DEEPEST:
                return None
        elif token.group() in {"]", "}"}:
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def repairs(text: str) -> Iterator[str]:
    """Yield JSON texts that a broken one may mean, the likeliest first; each may be broken, too."""
    yield _without_last_commas(text)
    if "\\" not in text:
        with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            yield json.dumps(ast.literal_eval(text))
    yield _without_last_commas(_LOOSE.sub(_strict, text))


def _without_last_commas(text: str) -> str:
    return _LAST_COMMA.sub(_keep, _ESCAPE.sub(_double, text))


def _strict(match: re.Match[str]) -> str:
    """Return a piece as JSON spells it."""
    groups = match.groupdict()
    if groups["kept"] is not None:
        return match[0]
    if groups["comment"] is not None:
        return " "
    if groups["literal"] is not None:
        return _LITERALS[groups["literal"]]
    if groups["comma"] is not None:
        return groups["comma"].replace(",", ".")
    if groups["single"] is not None:
        inner = groups["single"].replace("\\'", "'")
        return f'"{_QUOTE.sub(_escape_quote, inner)}"'
    return f'"{groups["curly"] or groups["name"] or ""}"'


def _escape_quote(match: re.Match[str]) -> str:
    return match[1] or r"\""


def _keep(match: re.Match[str]) -> str:
    return match[1] or ""


def _double(match: re.Match[str]) -> str:
    return match[1] or r"\\"
