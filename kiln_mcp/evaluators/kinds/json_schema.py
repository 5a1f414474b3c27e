"""The output is JSON that fits a schema."""

import json
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorKind,
    Skipped,
    WorkbenchDefinition,
    check_of,
)
from kiln_mcp.evaluators.schema_parts import Schema
from kiln_mcp.evaluators.text_comparison import quote
from kiln_mcp.evaluators.value_extraction import (
    ExtractedValue,
    check_value_expression,
    extract_value,
)
from kiln_mcp.run_configs.errors import EvalError, constant_logic
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.run_configs.task_runs import output_schema
from storage import EvalConfig, Task
from storage.errors import InvalidValue
from storage.records.workbench_checks import SchemaCheck
from storage.text.json_schema import check_schema, find_problem


class SchemaDefinition(SchemaCheck, WorkbenchDefinition):
    """The output is JSON that fits expected_schema, or the task's own schema without one."""

    def check_fields(self, task: Task) -> None:
        """Refuse a check of the task's schema where it has none.

        Raises:
            InvalidValue: There is no schema.
        """
        if self.expected_schema is None and output_schema(task) is None:
            raise InvalidValue(
                "The task '{task}' has no output schema, so there is nothing to fit. Give "
                "expected_schema in settings.",
                task=task.name,
            )

    async def check_logic(self) -> None:
        """Refuse an expression or a schema that cannot be used, and one that all JSON fits."""
        await check_value_expression(self.value_expression)
        if self.expected_schema is not None:
            await _check_schema(self.expected_schema)


@dataclass(frozen=True, slots=True)
class SchemaEvaluator:
    """Reads each output as JSON and checks it against the schema."""

    properties: SchemaCheck
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Check one output.

        Raises:
            EvalError: The schema cannot be used, or checking passed a limit.
        """
        settings = self.properties
        schema: Schema | None = settings.expected_schema
        if schema is None:
            schema = output_schema(context.task)
        if schema is None:
            raise EvalError(
                f"The task {context.task.name!r} has no output schema any more, so there is "
                "nothing to fit. Create an evaluator with expected_schema."
            )
        result = await _check(settings.value_expression, case, schema)
        if isinstance(result, Skipped):
            return result
        return result.as_evaluation(context.eval_record.output_scores)


async def _check(expression: str | None, case: Case, schema: Schema) -> CheckResult | Skipped:
    extraction = await extract_value(expression, case)
    if not isinstance(extraction, ExtractedValue):
        return extraction
    value = extraction.value
    if not expression:
        try:
            value = cast("JsonValue", json.loads(case.final_message, parse_constant=_refuse))
        except (ValueError, RecursionError) as error:
            detail = f"{quote(case.final_message)} is no JSON: {error}"
            return CheckResult(passed=False, detail=detail)
    try:
        problem = await find_problem(value, schema)
    except ValueError as error:
        raise EvalError(f"The schema cannot be used: {error}. Give another one.") from error
    return CheckResult(problem is None, problem or "it fits the schema")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


async def _check_schema(schema: Schema) -> None:
    if not schema:
        raise constant_logic("schema", "{}", "every JSON value fits an empty schema")
    try:
        await check_schema(schema)
    except ValueError as error:
        raise EvalError(
            f"expected_schema cannot be used: {error}. Give a JSON Schema without references to "
            "other files."
        ) from error


def _open(record: EvalConfig) -> SchemaEvaluator:
    return SchemaEvaluator(check_of(record, SchemaCheck))


KIND = EvaluatorKind("json_schema", _open, SchemaDefinition, is_tried=True)
