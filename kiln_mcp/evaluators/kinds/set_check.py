"""The output's items compare with a set."""

from dataclasses import dataclass

from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorDefinition,
    EvaluatorKind,
    Score,
    Skipped,
    properties_of,
)
from kiln_mcp.evaluators.field_scores import share_score
from kiln_mcp.evaluators.item_matches import MEASURES, ListCounts
from kiln_mcp.evaluators.value_extraction import as_set, check_value_expression, value_pair
from kiln_mcp.run_configs.errors import constant_logic
from kiln_mcp.run_configs.item_templates import Case
from storage import EvalConfig, EvalOutputScore, SetCheck


class SetEqualityDefinition(SetCheck, EvaluatorDefinition):
    """The output's items compare with a set; scores `precision`, `recall` and `f1` measure them."""

    async def check_logic(self) -> None:
        """Refuse an expression that is not valid, and a set that every output holds."""
        await check_value_expression(self.value_expression)
        _refuse_empty(self)


@dataclass(frozen=True, slots=True)
class SetEvaluator:
    """Compares the value's items with a set, without order and repetitions."""

    properties: SetCheck
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Compare one output."""
        settings = self.properties
        _refuse_empty(settings)
        literal: JsonValue = list(settings.expected_set) if settings.expected_set else []
        pair = await value_pair(settings, literal, case)
        if isinstance(pair, Skipped):
            return pair
        if isinstance(pair, CheckResult):
            counts = _counts(frozenset(), as_set(literal))
            passed, detail = False, pair.detail
        else:
            actual_set = as_set(pair.actual)
            passed, counts, expected_set = max(
                (
                    (_passes(actual_set, right, settings.mode), _counts(actual_set, right), right)
                    for right in map(as_set, pair.expected)
                ),
                key=lambda result: (result[0], result[1].measure("f1")),
            )
            detail = f"{sorted(actual_set)} as {settings.mode} of {sorted(expected_set)}"
        return Evaluation(
            {
                score.json_key: _score(score, counts, passed=passed)
                for score in context.eval_record.output_scores
            },
            detail,
            is_unread=isinstance(pair, CheckResult) and pair.is_unread,
        )


def _passes(actual: frozenset[str], expected: frozenset[str], mode: str) -> bool:
    return {
        "subset": actual <= expected,
        "superset": actual >= expected,
        "equal": actual == expected,
    }[mode]


def _counts(actual: frozenset[str], expected: frozenset[str]) -> ListCounts:
    shared = len(actual & expected)
    return ListCounts(shared, len(actual) - shared, len(expected) - shared)


def _refuse_empty(settings: SetCheck) -> None:
    if settings.mode == "superset" and settings.expected_set == ():
        raise constant_logic("set", "[]", "every output is a superset of an empty set")


def _score(score: EvalOutputScore, counts: ListCounts, *, passed: bool) -> Score:
    measure = score.json_key.rpartition("_")[2]
    if measure in MEASURES:
        return share_score(score, counts.measure(measure))
    return share_score(score, float(passed))


def _open(record: EvalConfig) -> SetEvaluator:
    return SetEvaluator(properties_of(record, SetCheck))


KIND = EvaluatorKind("set_check", _open, SetEqualityDefinition, is_tried=True)
