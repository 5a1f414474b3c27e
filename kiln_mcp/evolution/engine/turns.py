"""Whose turn it is: which operator is tried next, by what each has brought and may still cost."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.evolution.engine.operators import Operator, Payoffs
from kiln_mcp.evolution.engine.values import Account

PATIENCE: Final = 16
"""Attempts in a row without a gain, after which an operator without a model is left."""
STALL: Final = 10
"""Reflections in a row without a gain, after which operators are tried that need no failures."""
LATE_OPERATORS: Final = frozenset(
    {Operator.RESTART, Operator.RESTATE, Operator.COMPRESS, Operator.PARAPHRASE}
)
UNPROVEN_SHARE: Final = 0.03
"""The share of all evaluations for an operator that asks nobody, until it has brought a gain."""


@dataclass
class Turns:
    """The operators of a search, and how each has fared.

    Attributes:
        operators: The operators.
        account: The budget.
        payoffs: What each has brought.
        failures_in_row: Attempts without a gain since the last one with one.
        attempts: Attempts that are under way.
    """

    operators: Sequence[Operator]
    account: Account
    payoffs: Payoffs = field(default_factory=Payoffs)
    failures_in_row: Counter[Operator] = field(default_factory=Counter[Operator])
    attempts: Counter[Operator] = field(default_factory=Counter[Operator])

    def usable(self, *, is_converged: bool) -> list[Operator]:
        """Return the operators that may still bring something.

        Args:
            is_converged: Whether no failure is left that is worth a reflection.
        """
        usable = [o for o in self.operators if not self._is_used_up(o, is_converged=is_converged)]
        is_stalled = self._is_stalled(usable)
        return [o for o in usable if is_stalled or o not in LATE_OPERATORS]

    def choose(self, draw: random.Random, usable: Sequence[Operator]) -> Operator:
        """Return one of the usable operators, by chance weighted with its gain for a call."""
        if Operator.REFLECT in usable:
            usable = [operator for operator in usable if self._is_affordable(operator)]
        return self.payoffs.choose(draw, usable)

    def end(self, operator: Operator, evaluations: int, gain: float) -> None:
        """Count an attempt that did something."""
        self.payoffs.count(operator, evaluations, gain)
        self.failures_in_row[operator] += 1
        if gain > 0:
            self.failures_in_row.clear()

    def exhaust(self, operator: Operator) -> None:
        """Leave an operator until something else has brought a gain."""
        self.failures_in_row[operator] += PATIENCE

    def _is_used_up(self, operator: Operator, *, is_converged: bool) -> bool:
        if operator is not Operator.REFLECT:
            return self.failures_in_row[operator] >= PATIENCE
        limit = self.account.budget.proposals
        return is_converged or (limit is not None and self.account.proposals >= limit)

    def _is_stalled(self, usable: Sequence[Operator]) -> bool:
        """Return whether reflection brings nothing more, or nobody can be asked."""
        is_left = Operator.REFLECT not in usable
        return is_left or self.failures_in_row[Operator.REFLECT] >= STALL

    def _is_affordable(self, operator: Operator) -> bool:
        """Return whether an operator may be tried while reflection may bring something.

        Edits of those that ask nobody speak of every item: one at a time, few until one has won.
        """
        if operator is Operator.REFLECT or operator in LATE_OPERATORS:
            return True
        has_won = self.payoffs.gains.get(operator, 0.0) > 0
        own, all_calls = self.payoffs.calls.get(operator, 0), sum(self.payoffs.calls.values())
        return (has_won or own < UNPROVEN_SHARE * all_calls) and not self.attempts[operator]
