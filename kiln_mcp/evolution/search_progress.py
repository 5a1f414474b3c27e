"""How far a search is, for one model or several: the calls that were sent."""

from collections.abc import Sequence

from kiln_mcp.evolution.engine import Budget, Evaluation
from kiln_mcp.evolution.live_decisions import LiveDecisions
from kiln_mcp.evolution.search_context import SearchContext


class SearchProgress:
    """Counts the calls of a search, and lets its decisions be watched.

    Args:
        contexts: The search for each model.
        lives: Writes the decisions of each.

    Attributes:
        budget: What the search may use in all; an evaluation has the price of the dearest model.
    """

    def __init__(self, contexts: Sequence[SearchContext], lives: Sequence[LiveDecisions]) -> None:
        self._workspace = contexts[0].workspace
        self._lives = lives
        self._calls = 0
        dearest = max((context.budget for context in contexts), key=lambda own: own.evaluation)
        self.budget: Budget = dearest

    async def count(self, evaluation: Evaluation) -> None:
        """Count an evaluation that was made, report it, and write new decisions."""
        self._calls += evaluation.paid_calls or 0
        done = min(self._calls, self.budget.calls)
        await self._workspace.report(done, self.budget.calls, self._lives[0].progress)
        for live in self._lives:
            await live.write_if_due()
