"""Whether an item is there already, and whether two say different things of one input.

Of each item only two numbers are kept, so that a table of any length fits into memory.
"""

import json
import unicodedata
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2b
from typing import Final

from storage.exchange.examples import is_empty, json_value, text_of_value

_KEY_BYTES: Final = 7
"""With so few, a number of Python takes no more memory than one of a machine word."""


class Standing(Enum):
    """How an item stands to those before it.

    NEW: Its input is new.
    REPEAT: The same item was there.
    CONTRADICTION: Its input has another reference.
    """

    NEW = auto()
    REPEAT = auto()
    CONTRADICTION = auto()


@dataclass(slots=True)
class ItemKeys:
    """The inputs of items with their references, as numbers.

    Attributes:
        references: The reference of each input; 0 for none.
        contradicted_inputs: Inputs with several references.
        pairs: Further pairs of an input and a reference.
    """

    references: dict[int, int] = field(default_factory=dict[int, int])
    contradicted_inputs: set[int] = field(default_factory=set[int])
    pairs: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def add(self, question: int, answer: int) -> Standing:
        """Add an item; return how it stands to those before it."""
        standing = self.standing(question, answer)
        if standing is Standing.NEW:
            self.references[question] = answer
        elif standing is Standing.CONTRADICTION:
            self.contradicted_inputs.add(question)
            self.pairs.add((question, answer))
        return standing

    def standing(self, question: int, answer: int) -> Standing:
        """Return how an item stands to those that are there."""
        other = self.references.get(question)
        if other is None or (answer and not other):
            return Standing.NEW
        if other == answer or not answer or (question, answer) in self.pairs:
            return Standing.REPEAT
        return Standing.CONTRADICTION


def key_of(value: object) -> int:
    """Return a number for a value: the same for the same text or JSON, in any process.

    It is 0 for nothing.

    White space at the ends, Unicode's forms and the order of keys make no difference.
    """
    if is_empty(value):
        return 0
    document = json_value(value)
    if isinstance(document, dict | list):
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
    else:
        text = text_of_value(document).strip()
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
    return int.from_bytes(digest) or 1
