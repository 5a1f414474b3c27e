"""Split texts into sentences and list entries, and those into the words that carry meaning."""

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_][\w'\u2019-]*|\d+(?:[.,]\d+)*%?")
_BREAK: Final = re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f])(?![\u300d\u300f\uff09)])|\n+")
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_STOPS: Final = ".!?\u3002\uff01\uff1f"
_QUOTATION: Final = re.compile(r"[\"“]([^\"“”\n]{2,})[\"”]")

_EMPTY_TEXT: Final = """
    a an and any are as at be been but by can could do does for from had has have i if in into
    is it its me must my no nor not of on or our shall should so than that the their them then
    there these they this those to was we were what when where which who will with would you
    your output outputs answer answers response responses reply replies model ai always never
    every all need needs want wants please
"""
_EMPTY: Final = frozenset(_EMPTY_TEXT.split())


def sentences(text: str) -> tuple[str, ...]:
    """Return the text's sentences and list entries without bullets; empty ones are left out."""
    pieces = (_BULLET.sub("", piece).strip() for piece in _BREAK.split(text))
    return tuple(piece for piece in pieces if _WORD.search(piece))


def words(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a text, case folded."""
    return tuple(word.casefold() for word in _WORD.findall(text))


@lru_cache(maxsize=1024)
def content_words(text: str) -> frozenset[str]:
    """Return the words that carry a clause's meaning, without plural and verb endings."""
    return frozenset(_stem(word) for word in words(text) if word not in _EMPTY)


def quotations(text: str) -> tuple[str, ...]:
    """Return the texts between double quotation marks."""
    return tuple(_QUOTATION.findall(text))


def as_sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop; "" for a text without characters."""
    text = text.strip().rstrip(";, ")
    if not text:
        return ""
    stop = "\u3002" if "\u3040" <= text[-1] <= "\u9fff" else "."
    sentence = text if text[-1] in _STOPS else f"{text}{stop}"
    return sentence[:1].upper() + sentence[1:]


def overlap(first: str, second: str) -> float:
    """Return the Jaccard similarity of two texts' content words, 0 to 1; 0 if neither has any."""
    first_words, second_words = content_words(first), content_words(second)
    union = first_words | second_words
    return len(first_words & second_words) / len(union) if union else 0.0


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "ly", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
