"""Words of full-text search: case-insensitive, and found by their prefixes.

Scripts that put no spaces between words are kept as words of one character each, and so are
emoji and other pictures, so that any part of such a text is found as it stands.
"""

import re
import unicodedata
from typing import Final

_SHORTEST_BEGINNING: Final = 3
"""Fewer letters mean a whole word: those that begin with one or two would be most words."""

_SCRIPTS_WITHOUT_SPACES: Final = re.compile(
    "["
    "\u00a6\u00a9\u00ae\u00b0"  # signs
    "\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u2190-\u2bff"  # arrows, shapes, symbols
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30fa\u30fc-\ua4cf"  # Han, kana, Yi
    "\ua960-\ua97f\uaa60-\uaa7f\uaa80-\uaadf\uac00-\ud7ff\uf900-\ufaff"  # Hangul, Han
    "\U0001b000-\U0001b16f\U0001f000-\U0001faff\U00020000-\U0003ffff"  # kana, emoji, Han
    "]+"
)


def searchable(text: str) -> str:
    """Prepare a text for SQLite's full-text search, which folds only ASCII letters."""
    if text.isascii():
        return text
    nfkc_text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SCRIPTS_WITHOUT_SPACES.sub(_separate, nfkc_text)


def phrase_of(word: str, *, is_whole: bool = False) -> str:
    """Return the full-text query for a word as it is typed, or for words that begin with it.

    Args:
        word: The word.
        is_whole: Whether longer words are not meant.
    """
    indexed_word = searchable(word)
    last = indexed_word[-_SHORTEST_BEGINNING:]
    begins = len(last) == _SHORTEST_BEGINNING and all(map(_is_part_of_word, last))
    return '"' + indexed_word.replace('"', '""') + ('"*' if begins and not is_whole else '"')


def _is_part_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _separate(match: re.Match[str]) -> str:
    """Return each character as a word; what is no letter, search would pass over: by its number."""
    words = (character if character.isalpha() else f"u{ord(character):x}" for character in match[0])
    return f" {' '.join(words)} "
