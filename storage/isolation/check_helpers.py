"""Functions that code of an evaluator may import: `from check_helpers import read_json`.

They need the standard library alone. Kiln does not have them: code that is to run there, too, does
without.
"""

import json
import re
from difflib import SequenceMatcher
from typing import Any, Final

_BLOCK: Final = re.compile(r"```([^\n`]*)\n(.*?)```", re.DOTALL)
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_LONGEST_COMPARED: Final = 20_000


def code_blocks(text: str, language: str = "") -> list[str]:
    """Return the contents of a text's fenced blocks, of one language if it is named."""
    return [
        body.strip("\n")
        for name, body in _BLOCK.findall(text)
        if not language or name.strip().lower() == language.lower()
    ]


def read_json(text: str) -> Any:
    """Return the JSON value that a text is, or that its first fenced block holds.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text)
    except ValueError:
        blocks = code_blocks(text)
        if not blocks:
            raise
        return json.loads(blocks[0])


def numbers(text: str) -> list[float]:
    """Return the numbers in a text, in their order; 1,000 is a thousand."""
    return [float(number.replace(",", "")) for number in _NUMBER.findall(text)]


def similarity(first: str, second: str) -> float:
    """Return how much of two texts agrees, from 0 to 1, without case and repeated space."""
    texts = (" ".join(text.casefold().split())[:_LONGEST_COMPARED] for text in (first, second))
    return SequenceMatcher(None, *texts, autojunk=False).ratio()
