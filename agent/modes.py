"""How much a conversation may do without a question."""

from dataclasses import dataclass
from enum import StrEnum

from agent.events import Effect


class Mode(StrEnum):
    """How much a conversation may do without a question."""

    ASK = "ask"
    """Reading is free, writing is shown, and everything else is asked about."""
    AUTO = "auto"
    """Also what is within the limits is done without a question."""
    PLAN = "plan"
    """Only reading: nothing is changed, spent or sent."""


@dataclass(frozen=True, slots=True)
class AutoLimits:
    """The limits of the mode `auto`, all of one chat together.

    Attributes:
        cost_usd: The most that approved calls may cost, in US dollars.
        calls: The most calls that are approved.
        seconds: How long the mode lasts, from its beginning.
        effects: The effects that it approves. Destroying, certifying and executing are always
            asked about, whatever stands here.
    """

    cost_usd: float = 0.0
    calls: int = 20
    seconds: float = 3600.0
    effects: frozenset[Effect] = frozenset({Effect.WRITES, Effect.SPENDS})
