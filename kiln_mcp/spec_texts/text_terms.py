"""Compare texts by their terms, whatever their language."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_TERM: Final = re.compile(
    r"[a-z\u00df-\u024f]+(?:['\u2019_-][a-z\u00df-\u024f]+)*"
    r"|[\u30a1-\u30fa\u30fc]+|[\u4e00-\u9fff\u3005]+|[\u0370-\u1fff\uac00-\ud7af]+"
)
_MARKS: Final = re.compile(r"[^\w%]+")

_GENERIC_TEXT: Final = """
    a an the is are be has have it its of to in on as that this and or with by at for from must
    should shall will does do reply replies response responses answer answers output outputs
    der die das den dem des ein eine einer eines einem einen ist sind hat haben es sie er von zu
    im in auf als dass und oder mit bei für aus muss soll sollen müssen wird werden antwort
    antworten ausgabe
    le la les un une est el los las una es
    返信 回答 答 出力 書
"""
_GENERIC: Final = frozenset(_GENERIC_TEXT.split())
_PREFIX: Final = 6
"""The letters of a word that are compared: endings differ, and Latin stems rarely do."""


def normal(text: str) -> str:
    """Return a text with one form of each character, in lower case."""
    return unicodedata.normalize("NFKC", text).casefold()


def same_form(text: str) -> str:
    """Return what two texts share that differ in case, spaces and punctuation only."""
    return _MARKS.sub(" ", normal(text)).strip()


@lru_cache(maxsize=2048)
def terms(text: str) -> frozenset[str]:
    """Return what a text is about: its words without endings, and runs of ideographs.

    Words of no content in English, German, Japanese, French and Spanish are left out.
    """
    return frozenset(
        term.rstrip("s")[:_PREFIX] if term[0] < "\u3000" else term
        for term in _TERM.findall(normal(text))
        if term not in _GENERIC and (len(term) > 1 or term[0] >= "\u3000")
    )


@lru_cache(maxsize=2048)
def features(text: str) -> frozenset[str]:
    """Return the terms of a text, with runs of ideographs as pairs of neighbours."""
    pieces: set[str] = set()
    for term in terms(text):
        if "\u4e00" <= term[0] <= "\u9fff" and len(term) > 1:
            pieces.update(term[index : index + 2] for index in range(len(term) - 1))
        else:
            pieces.add(term)
    return frozenset(pieces)


def plain_number(text: str) -> str:
    """Return a number as `float` reads it: "1,230" is 1230, "1.5" and "1,5" are 1.5."""
    parts = re.split(r"[.,]", text)
    if len(parts) == 1 or all(len(part) == 3 for part in parts[1:]):
        return "".join(parts)
    return "".join(parts[:-1]) + "." + parts[-1]


def similarity(first: str, second: str) -> float:
    """Return the Jaccard similarity of two texts' features, 0 to 1; 0 if neither has any."""
    left, right = features(first), features(second)
    union = left | right
    return len(left & right) / len(union) if union else 0.0
