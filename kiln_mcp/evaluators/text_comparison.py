"""Compare two texts, and show them in short."""

import json
import re
import unicodedata

from pydantic import JsonValue

from storage.records.evaluator import ComparisonRules
from storage.text.excerpts import excerpt


def json_text(value: JsonValue) -> str:
    """Return a value as text in which equal values look the same: text as it is, keys sorted."""
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )


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
        return " ".join(re.sub(r"[^\w\s]", " ", text).split())
    return text if is_case_sensitive else text.casefold()


def quote(text: str) -> str:
    """Return a short quotation of a compared text."""
    return repr(excerpt(text, 60))
