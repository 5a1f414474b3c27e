"""Tell whether a text is English, German or Japanese; nothing else is claimed."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Language(StrEnum):
    """A language whose words the hints know."""

    ENGLISH = "English"
    GERMAN = "German"
    JAPANESE = "Japanese"


_KANA: Final = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_WORD: Final = re.compile(r"[^\W\d_]+")
# Words of the grammar that the other listed languages do not have.
_ENGLISH: Final = (
    "the and of is are that with not this it must be by has have which does every if when never"
)
_GERMAN: Final = (
    "der die das und ist nicht mit dem den ein eine einen wird werden auf für dass sich hat keine "
    "im oder nach muss zu"
)
_OTHER_LANGUAGES: Final[tuple[str, ...]] = (
    "le les des est et dans pour une que qui sur pas doit avec du",
    "el los las del y para una que con debe por se es como",
    "het een van en niet dat voor zijn wordt moet met de op te",
    "il gli che di della per con non una sono deve nel",
    "o os as um uma não para com deve do da em que",
    "och att det som en är inte med ska på för av",
    "og at det som en er ikke med skal på for af",
    "i w na nie jest z do się że musi być",
)
_MARKS: Final[Mapping[Language | int, frozenset[str]]] = {
    Language.ENGLISH: frozenset(_ENGLISH.split()),
    Language.GERMAN: frozenset(_GERMAN.split()),
    **{number: frozenset(words.split()) for number, words in enumerate(_OTHER_LANGUAGES)},
}
_LEAST_MARKS: Final = 2
_SHORT: Final = 6
"""The most words of a text of which one mark tells the language."""


def is_foreign(text: str) -> bool:
    """Return whether a text has more words of another language's grammar than of English's."""
    if len(_KANA.findall(text)) >= _LEAST_MARKS:
        return True
    counts = _mark_counts(text)
    english = counts.pop(Language.ENGLISH)
    return max(counts.values()) > english


def _mark_counts(text: str) -> dict[Language | int, int]:
    words = [word.casefold() for word in _WORD.findall(text)]
    return {name: sum(word in marks for word in words) for name, marks in _MARKS.items()}


def language_of(text: str) -> Language | None:
    """Return the language of a text; None if it is another one, or too short to tell."""
    if len(_KANA.findall(text)) >= _LEAST_MARKS:
        return Language.JAPANESE
    words, counts = _WORD.findall(text), _mark_counts(text)
    best = max(counts, key=counts.__getitem__)
    runner_up = max(count for name, count in counts.items() if name != best)
    least_marks = 1 if len(words) <= _SHORT else _LEAST_MARKS
    if isinstance(best, Language) and counts[best] >= max(least_marks, 1.5 * runner_up):
        return best
    return None
