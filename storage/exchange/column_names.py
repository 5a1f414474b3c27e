"""The usual names of columns that hold inputs, right outputs and topics."""

import re
from functools import lru_cache
from typing import Final

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
