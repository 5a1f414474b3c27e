"""The output contains a text, or does not."""

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
from storage import Contains, EvalConfig


class ContainsCheck(Contains, EvaluatorDefinition):
    """The output contains a text, or does not."""

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid."""
        await check_value_expression(self.value_expression)


@dataclass(frozen=True, slots=True)
class ContainsEvaluator(Check):
    """Searches a text in the value."""

    properties: Contains

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Search one output."""
        settings = self.properties
        pair = await text_pair(settings, settings.substring, case)
        if not isinstance(pair, TextPair):
            return pair
        return CheckResult(
            (pair.expected in pair.actual) == (settings.mode == "must_contain"), pair.detail
        )


def _open(record: EvalConfig) -> ContainsEvaluator:
    return ContainsEvaluator(properties_of(record, Contains))


KIND = EvaluatorKind("contains", _open, ContainsCheck)
