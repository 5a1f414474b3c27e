"""The output's items compare with a set."""

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
    as_set,
    check_value_expression,
    expected_value,
    extract_value,
)
from kiln_mcp.run_configs.templates import Case
from storage import EvalConfig, SetCheck


class SetEqualityCheck(SetCheck, EvaluatorDefinition):
    """The output's items compare with a set."""

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid."""
        await check_value_expression(self.value_expression)


@dataclass(frozen=True, slots=True)
class SetEvaluator(Check):
    """Compares the value's items with a set, without order and repetitions."""

    properties: SetCheck

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Compare one output."""
        settings = self.properties
        expected = expected_value(settings.expected_set, settings.reference_key, case)
        if isinstance(expected, Skipped):
            return expected
        extraction = await extract_value(settings.value_expression, case)
        if not isinstance(extraction, ExtractedValue):
            return extraction
        actual_set, expected_set = as_set(extraction.value), as_set(expected)
        fits = {
            "subset": actual_set <= expected_set,
            "superset": actual_set >= expected_set,
            "equal": actual_set == expected_set,
        }[settings.mode]
        return CheckResult(
            fits, f"{sorted(actual_set)} as {settings.mode} of {sorted(expected_set)}"
        )


def _open(record: EvalConfig) -> SetEvaluator:
    return SetEvaluator(properties_of(record, SetCheck))


KIND = EvaluatorKind("set_check", _open, SetEqualityCheck)
