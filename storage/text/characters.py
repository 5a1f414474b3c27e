"""Repair texts with lone surrogates.

A lone surrogate is half of a UTF-16 pair. JSON can escape one, and programs that cut texts write
it. Python reads it, and then no file, database or message can hold the text.
"""

import codecs
from collections.abc import Mapping, Sequence
from typing import Any, cast

_UTF16 = "utf-16-le"


def repair_surrogates(text: str) -> str:
    """Join the surrogates of a pair, and replace each lone one by U+FFFD."""
    return text if text.isascii() else _encode(text).decode(_UTF16, "replace")


def repair_texts(value: Any) -> Any:
    """Return JSON data with each text in it repaired."""
    match value:
        case str():
            return repair_surrogates(value)
        case Mapping():
            items = cast("Mapping[str, Any]", value).items()
            return {repair_surrogates(key): repair_texts(part) for key, part in items}
        case list() | tuple():
            return [repair_texts(part) for part in cast("Sequence[Any]", value)]
        case _:
            return value


class Joiner:
    """Repairs a text that arrives in pieces, cut anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder(_UTF16)("replace")

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is certain, which holds back a lone surrogate."""
        return self._decoder.decode(_encode(piece))

    def end(self) -> str:
        """Return what was held back, at the end of the text."""
        return self._decoder.decode(b"", final=True)


def _encode(text: str) -> bytes:
    return text.encode(_UTF16, "surrogatepass")
