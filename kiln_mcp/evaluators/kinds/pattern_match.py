"""A regular expression is found in the output, or is not."""

from dataclasses import dataclass

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.text_comparison import quote
from kiln_mcp.evaluators.value_extraction import (
    ExtractedValue,
    as_text,
    check_search,
    check_value_expression,
    extract_value,
    is_match,
)
from kiln_mcp.run_configs.item_templates import Case
from storage import EvalConfig, PatternMatch


class PatternDefinition(PatternMatch, EvaluatorDefinition):
    """A regular expression is found in the output, or is not."""

    async def check_logic(self) -> None:
        """Refuse an expression or a pattern that is not valid."""
        await check_value_expression(self.value_expression)
        await check_search(self.pattern)


@dataclass(frozen=True, slots=True)
class PatternEvaluator(Check):
    """Searches a pattern anywhere in the value."""

    properties: PatternMatch

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Search one output."""
        extraction = await extract_value(self.properties.value_expression, case)
        if not isinstance(extraction, ExtractedValue):
            return extraction
        pattern, text = self.properties.pattern, as_text(extraction.value)
        await check_search(pattern)
        matches = await is_match(pattern, text)
        return CheckResult(
            matches == (self.properties.mode == "must_match"),
            f"{pattern!r} {'found' if matches else 'not found'} in {quote(text)}",
        )


def _open(record: EvalConfig) -> PatternEvaluator:
    return PatternEvaluator(properties_of(record, PatternMatch))


KIND = EvaluatorKind("pattern_match", _open, PatternDefinition, is_tried=True)
