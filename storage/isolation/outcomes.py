"""Outcomes of an item: a value, invalid logic, or a failure."""

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

Breach = Literal["time", "memory", "crash", "space", "output", "processes"]


@dataclass(frozen=True, slots=True)
class Value:
    """The result of an item."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Invalid:
    """The logic itself cannot be used, whatever the item.

    Attributes:
        reason: What is wrong with it, as a clause without a full stop.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The logic gave no result for this item.

    Attributes:
        reason: Why, as a clause that follows "it": "took longer than 2 s".
        breach: Which limit was passed; None if it failed within its limits.
    """

    reason: str
    breach: Breach | None = None


Outcome = Value | Invalid | Failed
