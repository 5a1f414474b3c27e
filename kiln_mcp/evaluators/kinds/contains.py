"""The output contains a text, or does not."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.text_comparison import normal_text, quote
from kiln_mcp.evaluators.value_extraction import (
    ValuePair,
    as_text,
    check_value_expression,
    value_pair,
)
from kiln_mcp.run_configs.errors import constant_logic
from kiln_mcp.run_configs.item_templates import Case
from storage import ComparisonRules, Contains, EvalConfig

_RULES: Final = ComparisonRules()


class ContainsDefinition(Contains, EvaluatorDefinition):
    """The output contains a text, or does not."""

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid, and a text that every output contains."""
        await check_value_expression(self.value_expression)
        _refuse_empty(self)


@dataclass(frozen=True, slots=True)
class ContainsEvaluator(Check):
    """Searches a text in the value."""

    properties: Contains

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Search one output."""
        settings = self.properties
        _refuse_empty(settings)
        pair = await value_pair(settings, settings.substring, case)
        if not isinstance(pair, ValuePair):
            return pair
        actual, *right_texts = (
            normal_text(as_text(value), _RULES, is_case_sensitive=settings.case_sensitive)
            for value in (pair.actual, *pair.expected)
        )
        if not all(right_texts):
            return Skipped("missing_reference_key", "The text to search is empty: all contain it.")
        is_contained = any(text in actual for text in right_texts)
        return CheckResult(
            is_contained == (settings.mode == "must_contain"),
            f"{quote(as_text(pair.actual))} against "
            f"{' or '.join(quote(as_text(value)) for value in pair.expected)}",
        )


def _refuse_empty(settings: Contains) -> None:
    if settings.substring is not None and not normal_text(settings.substring, _RULES):
        raise constant_logic("text", settings.substring, "every output contains an empty text")


def _open(record: EvalConfig) -> ContainsEvaluator:
    return ContainsEvaluator(properties_of(record, Contains))


KIND = EvaluatorKind("contains", _open, ContainsDefinition, is_tried=True)
