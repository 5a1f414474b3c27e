"""Checks: evaluators that ask no model and say pass or fail."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Skipped, as_scores
from kiln_mcp.evaluators.scales import binary_scores
from kiln_mcp.run_configs.item_templates import Case
from storage import EvalOutputScore


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether an output passes.

    Attributes:
        passed: Whether it does.
        detail: What was compared, for a person.
        is_unread: Whether the check's expression found no value in the output.
    """

    passed: bool
    detail: str
    is_unread: bool = False

    def as_evaluation(self, output_scores: Sequence[EvalOutputScore]) -> Evaluation:
        """Return the result as scores: the best value of each scale, or the worst mark."""
        scores = binary_scores(output_scores, passed=self.passed)
        return Evaluation(as_scores(scores), self.detail, is_unread=self.is_unread)


class Check(ABC):
    """An evaluator that asks no model and gives every score the same pass or fail."""

    model: str | None = None
    calls_per_item: int = 0

    @abstractmethod
    async def check(self, case: Case) -> CheckResult | Skipped:
        """Compare one output.

        Raises:
            EvalError: The check's own logic cannot be used, or passed a limit on this case.
        """

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Score one output: pass is the best value of each scale, fail is the worst mark."""
        result = await self.check(case)
        if isinstance(result, Skipped):
            return result
        return result.as_evaluation(context.eval_record.output_scores)
