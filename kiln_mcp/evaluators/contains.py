"""The output contains a text, or does not."""

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
        expected = expected_value(settings.substring, settings.reference_key, case)
        if isinstance(expected, Skipped):
            return expected
        extraction = await extract_value(settings.value_expression, case)
        if not isinstance(extraction, ExtractedValue):
            return extraction
        text, substring = as_text(extraction.value), as_text(expected)
        detail = f"{quote(text)} against {quote(substring)}"
        if not settings.case_sensitive:
            text, substring = text.casefold(), substring.casefold()
        return CheckResult((substring in text) == (settings.mode == "must_contain"), detail)


def _open(record: EvalConfig) -> ContainsEvaluator:
    return ContainsEvaluator(properties_of(record, Contains))


KIND = EvaluatorKind("contains", _open, ContainsCheck)
