"""Estimate the tokens of a text without a vocabulary: cheap, and rather too many than too few.

The pieces resemble those into which cl100k_base cuts a text before it looks up its tokens. What is
counted for a piece was fitted to prose, JSON, tables, code, base64 and scripts other than Latin;
`benchmarks/surface` compares the two.
"""

import re
from typing import Final

_PIECES: Final = re.compile(
    r"(?P<word> ?[A-Z]?[a-z]+)|(?P<capitals> ?[A-Z]+)|(?P<digits>\d{1,3})"
    r"|(?P<indent>\n[ \t]{2,})|(?P<space>\s+)"
    r"|(?P<marks>[!-/:-@\[-`{-~]+)|(?P<other>[^\s!-~]+|.)"
)
_USUAL_WORD: Final = 9
"""Letters of a word, with its space, up to which most words are one token."""
_LONGEST_WORD: Final = 24
"""A longer run of letters is no word of a language: a key, or base64."""


def token_estimate(text: str) -> int:
    """Return about how many tokens (cl100k) a text has."""
    count = 0.0
    for piece in _PIECES.finditer(text):
        length = piece.end() - piece.start()
        match piece.lastgroup:
            case "word":
                count += _tokens_of_word(length)
            case "capitals":
                count += max(1, length / 2.5)
            case "indent":
                count += 2
            case "digits" | "space":
                count += max(1, length / 8)
            case "marks":
                count += (length + 2) // 3
            case _:
                count += sum(map(_tokens_of_character, piece.group()))
    return round(count + 0.5)


def _tokens_of_word(length: int) -> float:
    if length > _LONGEST_WORD:
        return length / 1.7
    usual = 1 if length < _USUAL_WORD // 2 else 1.15
    return usual + max(0, length - _USUAL_WORD) / 3


def _tokens_of_character(character: str) -> float:
    """Return the tokens of a character outside of ASCII, by its bytes in UTF-8."""
    if character < "\u0800":
        return 0.7
    return 1.15 if character < "\U00010000" else 2.6
