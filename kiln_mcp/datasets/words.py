"""The words of texts, in scripts with and without spaces."""

import re
from collections.abc import Iterator
from typing import Final

_NO_SPACES: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, the kana and Chinese characters: each of them counts as a word."""
_WORD: Final = re.compile(rf"[{_NO_SPACES}]|\d+(?:[.,']\d{{3}})+(?!\w)|[^\W{_NO_SPACES}]+")
_MARK: Final = re.compile("[.,']")
_LETTER: Final = re.compile(f"[{_NO_SPACES}]")
_LONGEST: Final = 1_000_000
"""How many characters of a text are read."""
_SHORT: Final = 10_000
"""Characters up to which all words of a text are read at once."""


def words(text: str) -> Iterator[str]:
    """Yield the words, case folded, of a text's beginning.

    Those of a long text are read when they are needed: as a list they take 100 times its memory.
    """
    beginning = text[:_LONGEST].casefold()
    if len(beginning) <= _SHORT:
        return iter(_WORD.findall(beginning))
    return (match.group() for match in _WORD.finditer(beginning))


def is_letter(word: str) -> bool:
    """Return whether a word is a character of a script without spaces."""
    return _LETTER.match(word) is not None


def number_of(word: str) -> str:
    """Return the digits and letters of a word with a digit; "" for words without one."""
    if word.isalpha() or not any(map(str.isdigit, word)):
        return ""
    return word if word.isalnum() else _MARK.sub("", word)
