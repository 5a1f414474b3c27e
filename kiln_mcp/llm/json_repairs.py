"""JSON that models write with small faults: LaTeX in strings, last commas, Python's literals."""

import ast
import json
import re
from collections.abc import Iterator
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
"""A string that has no end takes the rest, so that no start is tried twice."""
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
    yield _LAST_COMMA.sub(_keep, _ESCAPE.sub(_double, text))
    if "\\" in text:
        return
    try:
        yield json.dumps(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return


def _keep(match: re.Match[str]) -> str:
    return match[1] or ""


def _double(match: re.Match[str]) -> str:
    return match[1] or r"\\"
