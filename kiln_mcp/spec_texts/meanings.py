"""What vague words usually mean, as answers to choose from. Only English words are listed."""

import re
from collections.abc import Mapping
from typing import Final

_LENGTH: Final = ("at most 1 sentence", "at most 3 sentences", "at most 100 words")
_MEANINGS: Final[Mapping[str, tuple[str, ...]]] = {
    r"short(?:er)?|brief(?:ly)?|concise(?:ly)?|too long|lengthy|long": _LENGTH,
    r"detailed|in detail|thorough(?:ly)?|comprehensive(?:ly)?|in[- ]depth": (
        "it names every item of the input",
        "at least 5 sentences",
        "it gives a reason for each statement",
    ),
    r"polite(?:ly)?|friendly|respectful(?:ly)?|courteous(?:ly)?|rude(?:ly)?|professional(?:ly)?": (
        "no insult, blame or sarcasm",
        "no insult, and it greets or thanks the reader",
        "no insult, and it acknowledges the reader's problem",
    ),
    r"relevant|related|on[- ]topic": (
        "every sentence answers something that was asked",
        "nothing about other subjects, background allowed",
    ),
    r"few|several|some|many|various|multiple": ("exactly 2", "2 to 4", "at least 3"),
    r"often|sometimes|usually|generally|typically|normally|rarely": (
        "in every case",
        "only where the input asks for it",
    ),
    r"quick(?:ly)?|soon|timely|recent(?:ly)?|fast": ("within 24 hours", "within 7 days"),
}
_SAYS_HOW_MUCH: Final = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten)\b|^(?:not )?\"[^\"]+\" means:",
    re.IGNORECASE,
)
_PATTERNS: Final = tuple(
    (re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE), options)
    for words, options in _MEANINGS.items()
)


def vague_words(clause: str) -> tuple[str, ...]:
    """Return the words of a clause that readers understand differently, in English.

    A clause with a number says how much, and one that defines a word needs no other definition.
    """
    if _SAYS_HOW_MUCH.search(clause):
        return ()
    words = [match[0] for pattern, _ in _PATTERNS for match in pattern.finditer(clause)]
    return tuple(dict.fromkeys(words))


def meanings_of(words: str) -> tuple[str, ...]:
    """Return what some vague words usually mean; empty if nobody has listed them."""
    return next((options for pattern, options in _PATTERNS if pattern.search(words)), ())
