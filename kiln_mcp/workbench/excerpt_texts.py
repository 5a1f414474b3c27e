"""The argument that limits long texts of records."""

from typing import Annotated, Final

from pydantic import Field

LONGEST_TEXT: Final = 4000
Longest = Annotated[
    int, Field(ge=100, description="Longer texts in it are cut to so many characters.")
]
