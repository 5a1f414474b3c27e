"""The output equals a value, or the item's reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.field_scores import score_names, scores_of
from kiln_mcp.evaluators.schema_parts import Schema, field_paths, is_object_schema
from kiln_mcp.evaluators.text_comparison import json_text, quote
from kiln_mcp.evaluators.value_comparison import compare_values, nearest, structure
from kiln_mcp.evaluators.value_extraction import check_value_expression, value_pair
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.run_configs.task_runs import output_schema
from storage import ComparisonRules, EvalConfig, ExactMatch, Task
from storage.errors import InvalidValue

_USUAL_RULES: Final = ComparisonRules()
MOST_FIELD_SCORES: Final = 12
"""A new eval of an output with more fields scores the whole output alone, unless it is told to."""


class ExactMatchDefinition(ExactMatch, EvaluatorDefinition):
    """The output equals expected_value, or the item's reference under reference_key.

    JSON is compared by value, field by field: a score that has a field's name is that field's own.
    """

    def field_names(self, task: Task) -> Mapping[str, str]:
        """Return the outermost fields of the task's output, if whole outputs are compared."""
        if self.value_expression or self.reference_key is None:
            return {}
        names = _outermost_fields(task)
        return score_names(names) if 1 < len(names) <= MOST_FIELD_SCORES else {}

    def check_fields(self, task: Task) -> None:
        """Refuse a rule for a field that the task's output does not have.

        Raises:
            InvalidValue: There is one.
        """
        names = _outermost_fields(task)
        rules = None if self.value_expression else self.comparison
        if rules is None or not names:
            return
        for place in (*(part.field for part in rules.fields), *rules.ignored_fields):
            field = next((name for name in names if f"{place}.".startswith(f"{name}.")), None)
            if field is None:
                raise InvalidValue(
                    "There is no field '{place}' in the output of the task '{task}', so its rule "
                    "would never apply. The fields are: {names}.",
                    place=place,
                    task=task.name,
                    names=tuple(names),
                )

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid."""
        await check_value_expression(self.value_expression)


@dataclass(frozen=True, slots=True)
class ExactMatchEvaluator:
    """Compares by value, and scores each field that the eval names."""

    properties: ExactMatch
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Compare one output."""
        settings = self.properties
        output_scores = context.eval_record.output_scores
        pair = await value_pair(settings, settings.expected_value, case)
        if isinstance(pair, Skipped):
            return pair
        if isinstance(pair, CheckResult):
            return pair.as_evaluation(output_scores)
        schema = None if settings.value_expression else output_schema(context.task)
        right_values = [value for value in pair.expected if _is_comparable(value, schema)]
        if not right_values:
            return Skipped(
                "incompatible_input_shape",
                f"The task's output is an object, and the reference is not: "
                f"{quote(json_text(pair.expected[0]))}. Give the item an object as its reference, "
                "or the evaluator an expression that takes one field.",
            )
        comparison = nearest(
            compare_values(
                pair.actual,
                value,
                settings.comparison or _USUAL_RULES,
                schema,
                is_case_sensitive=settings.case_sensitive,
            )
            for value in right_values
        )
        return Evaluation(scores_of(comparison, output_scores, schema), comparison.detail)


def _is_comparable(value: JsonValue, schema: Schema | None) -> bool:
    """Whether a right value is an object where the task's output is one."""
    return not is_object_schema(schema) or isinstance(structure(value, is_json=True), dict)


def _outermost_fields(task: Task) -> list[str]:
    return [path[0] for path in field_paths(output_schema(task)) if len(path) == 1]


def _open(record: EvalConfig) -> ExactMatchEvaluator:
    return ExactMatchEvaluator(properties_of(record, ExactMatch))


KIND = EvaluatorKind("exact_match", _open, ExactMatchDefinition, is_tried=True)
