"""Compare two texts: as they are, trimmed, normalised, or by how similar they are."""

import json
import unicodedata
from typing import Final

from pydantic import JsonValue

from storage.records.evaluator import ComparisonRules
from storage.text.excerpts import excerpt

_SEPARATORS: Final = frozenset(".,")
_SIGNS: Final = frozenset("-\u2212")


def is_same_text(
    actual: str, expected: str, rules: ComparisonRules, *, is_case_sensitive: bool = True
) -> bool:
    """Return whether two texts are one by the rules."""
    first = normal_text(actual, rules, is_case_sensitive=is_case_sensitive)
    second = normal_text(expected, rules, is_case_sensitive=is_case_sensitive)
    if first == second or rules.text != "similar":
        return first == second
    return similarity(first, second) >= rules.similarity


def similarity(first: str, second: str) -> float:
    """Return how much of two texts agrees, from 0 to 1.

    Source:
        The normalised InDel similarity: 1 less the characters to insert and delete, by the
        length of both.
    """
    from rapidfuzz import fuzz  # imported only where it is asked for

    return float(fuzz.ratio(first, second)) / 100


def normal_text(text: str, rules: ComparisonRules, *, is_case_sensitive: bool = True) -> str:
    """Return a text in the form in which it is compared."""
    if rules.text != "exact":
        text = unicodedata.normalize("NFC", text).strip()
    if rules.text in {"normalised", "similar"}:
        text = unicodedata.normalize("NFKC", text).casefold()
        words = "".join(_without_punctuation(at, text) for at in range(len(text)))
        return " ".join(words.split()) or text
    return text if is_case_sensitive else text.casefold()


def _without_punctuation(at: int, text: str) -> str:
    """Return the character at a place, a space for punctuation, and nothing for what is not seen.

    A minus before a number, and a point or comma in one, are part of the number.
    """
    character = text[at]
    if character.isalnum() or character == "_":
        return character
    previous, following = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if character in _SIGNS and following.isdigit() and not (previous.isalnum() or previous == "_"):
        return "-"
    if character in _SEPARATORS and previous.isdigit() and following.isdigit():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return character if category[0] == "M" else " "


def json_text(value: JsonValue) -> str:
    """Return a value as text in which equal values look the same: text as it is, keys sorted."""
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )


def difference(actual: JsonValue, expected: JsonValue) -> str:
    """Return two values that differ, in short."""
    return f"{quote(json_text(actual))} against {quote(json_text(expected))}"


def quote(text: str) -> str:
    """Return a short quotation of a compared text."""
    return repr(excerpt(text, 60))
