"""The level of a claim on items that earlier claims were made on."""

from typing import Final

ALL_CLAIMS: Final = 0.05
"""The error of all claims on the same items together."""


def level_of_use(number: int, error: float = ALL_CLAIMS) -> float:
    """Return the error at which the k-th claim on the same items is made: error / (k(k+1)).

    However many claims follow, they have at most the error together.

    Raises:
        ValueError: The number is below 1.

    Source:
        Foster and Stine (2008), Alpha-investing, for spending by a series that sums to 1.
    """
    if number < 1:
        message = f"The first use has the number 1, not {number}."
        raise ValueError(message)
    return error / (number * (number + 1))
