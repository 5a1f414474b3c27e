"""The calls of a piece of work that were sent: those that the response cache answers are none."""

from dataclasses import dataclass


@dataclass(slots=True)
class CallCounter:
    """Counts the calls that models were sent.

    Attributes:
        calls: How many, corrections and those of earlier attempts of the same job included.
    """

    calls: int = 0
