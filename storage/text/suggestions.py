"""Suggest the names nearest to one that does not exist."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from storage.text.excerpts import excerpt, excerpts

MOST_NAMES: Final = 10
"""The most valid names that an error lists."""
_PARTS: Final = str.maketrans("-_", "  ")
_SHORTEST_PART: Final = 3
"""Fewer characters are a part of too many names."""
_LIKE_WORD: Final = 0.75
"""Least likeness of a word in a name, of 1: a typing mistake or two."""


def close_names(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` names near to one, the nearest first: alike, holding it, else a word.

    Args:
        name: What a person or model typed.
        names: The valid names.
        limit: How many at most.
    """
    key = _comparable(excerpt(name))  # comparing takes time with the square of the length
    by_folded = {_comparable(name): name for name in names}
    near = difflib.get_close_matches(key, by_folded, n=limit)
    holding = [name for name in by_folded if len(key) >= _SHORTEST_PART and key in name]
    candidates = [*near, *holding]
    if not candidates and len(key) >= _SHORTEST_PART:
        candidates = [name for name in by_folded if _has_word_like(name, key)]
    return [by_folded[name] for name in list(dict.fromkeys(candidates))[:limit]]


def _has_word_like(name: str, key: str) -> bool:
    return bool(difflib.get_close_matches(key, name.split(), n=1, cutoff=_LIKE_WORD))


def _comparable(name: str) -> str:
    """Return a name for comparison: small letters, with one space for what parts words."""
    return " ".join(name.casefold().translate(_PARTS).split())


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the name nearest to `name`; "" if none is near."""
    close = close_names(name, names, 1)
    return f" Did you mean '{close[0]}'?" if close else ""


def valid_names(name: str, names: Sequence[str], count: int) -> str:
    """Return the sentences of an error that suggest near names and list valid ones.

    Args:
        name: What was looked up.
        names: The valid names, all or the first ones.
        count: How many there are.
    """
    if not names:
        return " There are none."
    close = close_names(name, names)
    listed_names = names[:MOST_NAMES]
    suggestion = f" Close to it: {', '.join(map(excerpt, close))}." if close else ""
    if set(listed_names) <= set(close) and len(listed_names) == count:
        return suggestion
    remainder = f", … and {count - len(listed_names)} more" if count > len(listed_names) else ""
    return f"{suggestion} There are: {excerpts(listed_names)}{remainder}."
