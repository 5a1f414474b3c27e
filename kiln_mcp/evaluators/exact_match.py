"""The output equals a value, or the item's reference."""

from dataclasses import dataclass

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.values import TextPair, check_value_expression, text_pair
from kiln_mcp.run_configs.templates import Case
from storage import EvalConfig, ExactMatch


class ExactMatchCheck(ExactMatch, EvaluatorDefinition):
    """The output equals expected_value, or the item's reference under reference_key."""

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid."""
        await check_value_expression(self.value_expression)


@dataclass(frozen=True, slots=True)
class ExactMatchEvaluator(Check):
    """Compares the whole value as text."""

    properties: ExactMatch

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Compare one output."""
        settings = self.properties
        pair = await text_pair(settings, settings.expected_value, case)
        if not isinstance(pair, TextPair):
            return pair
        return CheckResult(pair.actual == pair.expected, pair.detail)


def _open(record: EvalConfig) -> ExactMatchEvaluator:
    return ExactMatchEvaluator(properties_of(record, ExactMatch))


KIND = EvaluatorKind("exact_match", _open, ExactMatchCheck)
