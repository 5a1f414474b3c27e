"""The conversation has so many steps."""

from dataclasses import dataclass

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.trace import MISSING_TRACE, tool_calls
from kiln_mcp.run_configs.errors import constant_logic
from kiln_mcp.run_configs.item_templates import Case
from storage import EvalConfig, StepCountCheck


class StepCountDefinition(StepCountCheck, EvaluatorDefinition):
    """The conversation has so many steps."""

    async def check_logic(self) -> None:
        """Refuse bounds that no conversation fits, or every one."""
        _refuse_constant(self)


@dataclass(frozen=True, slots=True)
class StepCountEvaluator(Check):
    """Counts steps of the conversation between two bounds."""

    properties: StepCountCheck

    async def check(self, case: Case) -> CheckResult | Skipped:
        """Count the steps of one conversation."""
        settings = self.properties
        _refuse_constant(settings)
        if case.trace is None:
            return MISSING_TRACE
        count = {
            "tool_calls": len(tool_calls(case.trace)),
            "model_responses": sum(m.get("role") == "assistant" for m in case.trace),
            "turns": sum(m.get("role") == "user" for m in case.trace),
        }[settings.count_type]
        low = settings.min_count is None or count >= settings.min_count
        high = settings.max_count is None or count <= settings.max_count
        return CheckResult(low and high, f"{count} {settings.count_type}")


def _refuse_constant(settings: StepCountCheck) -> None:
    low, high = settings.min_count or 0, settings.max_count
    bounds = f"{settings.min_count} to {settings.max_count}"
    if high is not None and (high < 0 or high < low):
        raise constant_logic("range", bounds, "no number lies in it")
    if high is None and low <= 0:
        raise constant_logic("range", bounds, "every number of steps lies in it")


def _open(record: EvalConfig) -> StepCountEvaluator:
    return StepCountEvaluator(properties_of(record, StepCountCheck))


KIND = EvaluatorKind("step_count_check", _open, StepCountDefinition)
