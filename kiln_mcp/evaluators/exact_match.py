"""The output equals a value, or the item's reference."""

from dataclasses import dataclass

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.values import (
    ExtractedValue,
    as_text,
    check_value_expression,
    expected_value,
    extract_value,
    quote,
)
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
        expected = expected_value(settings.expected_value, settings.reference_key, case)
        if isinstance(expected, Skipped):
            return expected
        extraction = await extract_value(settings.value_expression, case)
        if not isinstance(extraction, ExtractedValue):
            return extraction
        actual_text, expected_text = as_text(extraction.value), as_text(expected)
        detail = f"{quote(actual_text)} against {quote(expected_text)}"
        if not settings.case_sensitive:
            actual_text, expected_text = actual_text.casefold(), expected_text.casefold()
        return CheckResult(actual_text == expected_text, detail)


def _open(record: EvalConfig) -> ExactMatchEvaluator:
    return ExactMatchEvaluator(properties_of(record, ExactMatch))


KIND = EvaluatorKind("exact_match", _open, ExactMatchCheck)
