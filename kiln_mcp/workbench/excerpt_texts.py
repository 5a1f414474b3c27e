"""Excerpts of long texts of records, for the doors."""

from typing import Annotated, Final

from pydantic import Field

LONGEST_TEXT: Final = 4000
Longest = Annotated[
    int, Field(ge=100, description="Longer texts in it are cut to so many characters.")
]


def cut(text: str, longest: int) -> str:
    """Return a text, or its beginning with the number of characters that are not shown."""
    rest = len(text) - longest
    return text if rest <= 0 else f"{text[:longest]}… ({rest} more characters)"
