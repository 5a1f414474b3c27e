"""The names of columns: those of a table, and the usual ones for inputs, outputs and topics."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from storage.exchange.limits import MOST_COLUMNS
from storage.exchange.refusals import unusable_table

INPUTS: Final = (
    "input",
    "question",
    "prompt",
    "query",
    "instruction",
    "userinput",
    "problem",
    "utterance",
    "text",
    "sentence",
    "article",
    "document",
    "dialogue",
)
"""Without case and separators, the commonest first."""
OUTPUTS: Final = (
    "output",
    "expectedoutput",
    "reference",
    "groundtruth",
    "answer",
    "completion",
    "response",
    "target",
    "label",
    "ideal",
    "expected",
    "summary",
    "highlights",
    "solution",
    "correctlabel",
    "correctanswer",
    "expectedanswer",
    "referenceanswer",
    "goldanswer",
    "gold",
    "chosen",
)
TOPICS: Final = ("topic", "category", "subject")

_SIGNS = re.compile(r"[\s_-]+")


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a column's name without case and separators: `Expected Output` is `expectedoutput`."""
    return _SIGNS.sub("", name).casefold()


def header_of(names: Sequence[str]) -> list[str]:
    """Return the names of a table's columns, each once.

    A name that is there several times gets a number, and a column without a name gets its place.

    Raises:
        Refusal: There are too many.
    """
    if len(names) > MOST_COLUMNS:
        raise unusable_table(f"it has {len(names)} columns, and no more than {MOST_COLUMNS}")
    counts: Counter[str] = Counter()
    header: list[str] = []
    for place, name in enumerate(names, start=1):
        counts[name] += 1
        number = f"{name} ({counts[name]})" if counts[name] > 1 else name
        header.append(number if name else f"column {place}")
    return header
