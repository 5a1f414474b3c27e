"""How far a search is, for one model or several: the calls that were answered."""

from collections.abc import Sequence

from kiln_mcp.evolution.engine import Budget, Evaluation
from kiln_mcp.evolution.live_decisions import LiveDecisions
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog


class SearchProgress:
    """Reports the calls of a search, and lets its decisions be watched.

    Args:
        contexts: The search for each model.
        lives: Writes the decisions of each.
        log: Has the calls of earlier attempts too.

    Attributes:
        budget: What the search may use in all; an evaluation has the price of the dearest model.
    """

    def __init__(
        self, contexts: Sequence[SearchContext], lives: Sequence[LiveDecisions], log: ResumableLog
    ) -> None:
        self._workspace = contexts[0].workspace
        self._lives = lives
        self._log = log
        dearest = max((context.budget for context in contexts), key=lambda own: own.evaluation)
        self.budget: Budget = dearest

    async def count(self, evaluation: Evaluation) -> None:
        """Report an evaluation that was made and is not in the log yet, and write new decisions."""
        done = min(self._log.calls + (evaluation.paid_calls or 0), self.budget.calls)
        await self._workspace.report(done, self.budget.calls, self._lives[0].progress)
        for live in self._lives:
            await live.write_if_due()
