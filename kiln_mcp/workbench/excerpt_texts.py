"""How long a text of a record may be that is shown at the doors."""

from typing import Annotated, Final

from pydantic import Field

LONGEST_TEXT: Final = 4000
Longest = Annotated[
    int, Field(ge=100, description="Longer texts in it are cut to so many characters.")
]


def cut(text: str, longest: int) -> str:
    """Return a text, cut where it is longer, and then with how much of it is not shown."""
    more = len(text) - longest
    return text if more <= 0 else f"{text[:longest]}… ({more} more characters)"
