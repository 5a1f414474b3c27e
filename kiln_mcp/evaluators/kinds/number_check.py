"""A number of the output or of its run is small or large enough."""

from dataclasses import dataclass
from typing import Final

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorKind,
    Skipped,
    WorkbenchDefinition,
    check_of,
)
from kiln_mcp.evaluators.number_scores import read_number, score_number
from kiln_mcp.evaluators.text_comparison import json_text, quote
from kiln_mcp.evaluators.value_extraction import (
    ExtractedValue,
    check_value_expression,
    extract_value,
)
from kiln_mcp.run_configs.item_templates import Case
from storage import EvalConfig, Usage
from storage.records.workbench_checks import Measure, NumberCheck

MISSING_USAGE: Final = "extraction_failed"
"""The format has no word of its own for a run without usage."""


class NumberDefinition(NumberCheck, WorkbenchDefinition):
    """A number is small or large enough: latency_s, cost, tokens, length, or one in the output.

    `measure` names it, or `value_expression` takes it. at_most and at_least pass or fail; best and
    worst give a score between them.
    """

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid."""
        await check_value_expression(self.value_expression)


@dataclass(frozen=True, slots=True)
class NumberEvaluator:
    """Measures each output."""

    properties: NumberCheck
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Measure one output."""
        settings = self.properties
        output_scores = context.eval_record.output_scores
        if settings.measure is not None:
            number = _measure_of(settings.measure, case)
            if number is None:
                return Skipped(
                    MISSING_USAGE, f"The run of this output has no {settings.measure} recorded."
                )
            return score_number(number, settings.measure, settings, output_scores)
        extraction = await extract_value(settings.value_expression, case)
        if isinstance(extraction, CheckResult):
            return extraction.as_evaluation(output_scores)
        if not isinstance(extraction, ExtractedValue):
            return extraction
        number = read_number(extraction.value)
        if number is None:
            detail = f"{quote(json_text(extraction.value))} is no number"
            return CheckResult(passed=False, detail=detail, is_unread=True).as_evaluation(
                output_scores
            )
        return score_number(number, "the number", settings, output_scores)


def _measure_of(measure: Measure, case: Case) -> float | None:
    """Return a measure of an output; None if its run has none."""
    text = case.final_message
    match measure:
        case "characters":
            return len(text)
        case "words":
            return len(text.split())
        case "lines":
            return len(text.splitlines())
        case _:
            return None if case.usage is None else _usage_number(measure, case.usage)


def _usage_number(measure: Measure, usage: Usage) -> float | None:
    match measure:
        case "latency_s":
            milliseconds = usage.total_llm_latency_ms
            return None if milliseconds is None else milliseconds / 1000
        case "cost":
            return usage.cost
        case "input_tokens":
            return usage.input_tokens
        case "output_tokens":
            return usage.output_tokens
        case _:
            return usage.total_tokens


def _open(record: EvalConfig) -> NumberEvaluator:
    return NumberEvaluator(check_of(record, NumberCheck))


KIND = EvaluatorKind("number_check", _open, NumberDefinition, is_tried=True)
