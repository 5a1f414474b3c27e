"""What a search is expected to take and to see, said before it starts."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.evolution.engine.claim import Sight, sight
from kiln_mcp.evolution.engine.values import Budget

EVALUATIONS_EACH: Final = 13
"""Evaluations of a proposal with its race, on the simulated worlds of the benchmark."""
FEWEST_PROPOSALS: Final = 10
"""With fewer a search seldom finds ten points."""
UNKNOWN_NOISE: Final = 0.05
"""The variance of a pass-or-fail score that comes out otherwise in one of twenty runs."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a search and its claim are expected to take.

    Attributes:
        evaluations: Evaluations of the search.
        proposals: Proposals that fit.
        cost_usd: What all of it costs, the claim included.
        sight: What the test part can see.
    """

    evaluations: int
    proposals: int
    cost_usd: float
    sight: Sight

    @property
    def warning(self) -> str:
        """Why it may find nothing, as a sentence; "" if nothing speaks for that."""
        if self.proposals < FEWEST_PROPOSALS:
            return (
                f"Too little budget to find 10 points: it is enough for {self.proposals} "
                f"proposals, and {FEWEST_PROPOSALS} are needed."
            )
        return ""


def forecast(
    budget: Budget,
    test_items: int,
    noise: float = UNKNOWN_NOISE,
    evaluation_usd: float = 0.0,
    proposal_usd: float = 0.0,
) -> Forecast:
    """Return what a search within a budget is expected to take and to see.

    Args:
        budget: The budget; what it reserves is not searched with.
        test_items: Items for the claim.
        noise: The variance of one candidate's value on one item.
        evaluation_usd: What one evaluation costs.
        proposal_usd: What one proposal costs.

    Raises:
        ValueError: There are no test items.
    """
    view = sight(test_items, noise)
    calls = max(0, budget.calls - budget.reserve)
    price = EVALUATIONS_EACH * budget.evaluation + budget.proposal
    proposals = calls // price
    if budget.proposals is not None:
        proposals = min(proposals, budget.proposals)
    evaluations = (calls - proposals * budget.proposal) // budget.evaluation
    cost = (evaluations + view.evaluations) * evaluation_usd + proposals * proposal_usd
    if budget.cost_usd is not None:
        cost = min(cost, budget.cost_usd + view.evaluations * evaluation_usd)
    return Forecast(evaluations, proposals, cost, view)
