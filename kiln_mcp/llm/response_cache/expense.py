"""Amounts of money, tokens and calls."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.llm.messages import Usage


@dataclass(frozen=True, slots=True)
class Expense:
    """An amount that is spent or reserved.

    Attributes:
        cost_usd: US dollars for the calls whose price is known.
        tokens: Tokens read and written.
        calls: Calls sent to models.
        unpriced_calls: How many of the calls have no known price.
    """

    cost_usd: float = 0.0
    tokens: int = 0
    calls: int = 0
    unpriced_calls: int = 0

    def __add__(self, other: "Expense") -> "Expense":
        return Expense(
            self.cost_usd + other.cost_usd,
            self.tokens + other.tokens,
            self.calls + other.calls,
            self.unpriced_calls + other.unpriced_calls,
        )

    def __sub__(self, other: "Expense") -> "Expense":
        return Expense(
            self.cost_usd - other.cost_usd,
            self.tokens - other.tokens,
            self.calls - other.calls,
            self.unpriced_calls - other.unpriced_calls,
        )

    @classmethod
    def of(cls, usage: Usage) -> "Expense":
        """Return what an answer took."""
        return cls(
            cost_usd=usage.cost_usd or 0.0,
            tokens=usage.input_tokens + usage.output_tokens,
            calls=usage.calls,
            unpriced_calls=usage.calls if usage.cost_usd is None else 0,
        )

    def covers(self, other: "Expense") -> bool:
        """Return whether it is at least another amount, in each kind."""
        return (
            self.cost_usd >= other.cost_usd
            and self.tokens >= other.tokens
            and self.calls >= other.calls
            and self.unpriced_calls >= other.unpriced_calls
        )

    def or_more(self, other: "Expense") -> "Expense":
        """Return the larger of two amounts, in each kind."""
        return Expense(
            max(self.cost_usd, other.cost_usd),
            max(self.tokens, other.tokens),
            max(self.calls, other.calls),
            max(self.unpriced_calls, other.unpriced_calls),
        )


NOTHING: Final = Expense()
