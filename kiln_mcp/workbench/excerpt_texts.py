"""The argument that limits long texts of records."""

from typing import Annotated, Final

from pydantic import Field

LONGEST_TEXT: Final = 4000
LONGEST_WHOLE_TEXT: Final = 10_000_000
Longest = Annotated[
    int | None,
    Field(ge=100, description="Characters of a text; usually 4,000."),
]


def text_limit(longest: int | None, *, is_detailed: bool) -> int:
    """Return the most characters of a text in an answer.

    Args:
        longest: What the caller asked for; None for nothing.
        is_detailed: Whether the caller asked for the whole answer.
    """
    return longest or (LONGEST_WHOLE_TEXT if is_detailed else LONGEST_TEXT)
