"""Outputs compared by value, and the scores that their fields get."""

import json
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.value_comparison import compare_values
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.item_templates import Case
from storage import ComparisonRules, Eval, EvalConfig, EvalOutputScore, ExactMatch, SetCheck, Task
from storage.records.evaluator import EvaluatorProperties

USUAL = ComparisonRules()
ADDRESS: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "zip": {"type": "integer"},
        "since": {"type": ["string", "null"], "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "owner": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
    "$defs": {"Line": {"type": "object", "properties": {"sum": {"type": "number"}}}},
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def is_equal(actual: JsonValue, expected: JsonValue, **rules: object) -> bool:
    rule_set = ComparisonRules.model_validate(rules)
    return compare_values(actual, expected, rule_set, ADDRESS).total.is_equal


async def scores(
    names: list[str], output: str, reference: JsonValue, check: EvaluatorProperties | None = None
) -> dict[str, float]:
    record = EvalConfig(
        name="check",
        config_type="v2",
        properties=check or ExactMatch(reference_key="reference_answer"),
    )
    eval_record = Eval(
        name="Address",
        output_scores=tuple(EvalOutputScore(name=name, type="pass_fail") for name in names),
        eval_set_filter_id="tag::test",
    )
    task = Task(name="Read", instruction="Read it.", output_json_schema=json.dumps(ADDRESS))
    context = EvaluationContext(cast("Engine", None), eval_record, task, "test")
    case = Case("in", output, reference={"reference_answer": reference})
    evaluation = await evaluator_of(record).evaluate(case, context)
    assert isinstance(evaluation, Evaluation)
    return evaluation.values


@given(json_values)
def test_a_value_equals_itself_in_any_spelling(value: JsonValue) -> None:
    spelt = json.dumps(value, indent=3, sort_keys=True)
    assert compare_values(spelt, value, USUAL, {}).total.is_equal or isinstance(value, str)
    assert compare_values(value, value, USUAL).total.is_equal


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ('{"zip": 75001, "city": "Paris"}', {"city": "Paris", "zip": 75001}),
        ('{"city":"Paris","zip":75001.0}\n', '{"zip": 75001, "city": "Paris"}'),
        ('{"city": "Paris", "since": null}', {"city": "Paris"}),
        ('{"zip": 75001}', {"zip": "75001"}),
        ('{"city": " Cafe\u0301"}', {"city": "Caf\u00e9 "}),
        ('{"since": "2024-05-01"}', {"since": "2024-05-01T00:00:00Z"}),
        ('{"tags": ["b", "a"]}', {"tags": ["a", "b"]}),
        ('{"lines": [{"sum": 1.50}]}', {"lines": [{"sum": "1.5"}]}),
    ],
)
def test_what_means_the_same_is_equal(actual: str, expected: JsonValue) -> None:
    assert is_equal(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ('{"city": "Paris", "zip": 75002}', {"city": "Paris", "zip": 75001}),
        ('{"city": "Paris", "more": 1}', {"city": "Paris"}),
        ('{"zip": true}', {"zip": 1}),
        ('{"city": "paris"}', {"city": "Paris"}),
        ('{"lines": [{"sum": 2}, {"sum": 1}]}', {"lines": [{"sum": 1}, {"sum": 2}]}),
        ('{"tags": ["a", "a"]}', {"tags": ["a"]}),
        ('[{"city": "Paris"}]', {"city": "Paris"}),
        ("Paris, 75001", {"city": "Paris", "zip": 75001}),
        ('{"zip": 9007199254740993}', {"zip": 9007199254740992}),
        ('{"zip": NaN}', {"zip": 1}),
    ],
)
def test_what_means_something_else_is_not(actual: str, expected: JsonValue) -> None:
    assert not is_equal(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected", "rules"),
    [
        ('{"zip": 101}', {"zip": 100}, {"number_tolerance": 1}),
        ('{"zip": 101}', {"zip": 100}, {"relative_tolerance": 0.01}),
        ('{"since": "2024-05-03"}', {"since": "2024-05-01"}, {"date_tolerance_days": 2}),
        (
            '{"lines": [{"sum": 2}, {"sum": 1}]}',
            {"lines": [{"sum": 1}, {"sum": 2}]},
            {"list_order": "any"},
        ),
        ('{"city": "PARIS!"}', {"city": "paris"}, {"text": "normalised"}),
        ('{"city": "Pariis"}', {"city": "Paris"}, {"text": "similar", "similarity": 0.9}),
        (
            '{"city": "Paris", "owner": {"name": "A"}}',
            {"city": "Paris", "owner": {"name": "B"}},
            {"ignored_fields": ("owner.name",)},
        ),
    ],
)
def test_rules_widen_what_is_equal(
    actual: str, expected: JsonValue, rules: Mapping[str, object]
) -> None:
    assert is_equal(actual, expected, **rules)
    assert not is_equal(actual, expected)


@pytest.mark.parametrize("pair", [("Paris\n", "Paris"), ("Cafe\u0301", "Caf\u00e9")])
def test_white_space_at_the_ends_and_unicode_form_make_no_difference(pair: tuple[str, str]) -> None:
    assert compare_values(*pair, USUAL).total.is_equal
    assert not compare_values(*pair, ComparisonRules(text="exact")).total.is_equal


async def test_each_field_has_a_score_and_the_whole_object_one_more() -> None:
    output = '{"city": "Paris", "zip": 1, "owner": {"name": "Eva"}, "tags": ["a", "x"]}'
    reference: JsonValue = {"city": "Paris", "zip": 2, "owner": {"name": "Ada"}, "tags": ["a", "b"]}
    names = ["City", "Zip", "Owner name", "Since", "Tags", "Tags precision", "Correct", "F1"]
    assert await scores(names, output, reference) == {
        "city": 1.0,
        "zip": 0.0,
        "owner_name": 0.0,
        "since": 1.0,
        "tags": 0.0,
        "tags_precision": 0.5,
        "correct": 0.0,
        "f1": 0.25,
    }


async def test_an_output_that_is_no_json_fails_every_field_of_the_reference() -> None:
    values = await scores(["City", "Whole"], "I cannot.", {"city": "Paris"})
    assert values == {"city": 0.0, "whole": 0.0}


async def test_one_field_is_compared_with_its_field_of_the_reference() -> None:
    check = ExactMatch(
        value_expression="(final_message | fromjson).city", reference_key="reference_answer"
    )
    reference = '{"zip": 1, "city": "Paris"}'
    assert await scores(["Right"], '{"city": "Paris"}', reference, check) == {"right": 1.0}
    assert await scores(["Right"], '{"city": "Lyon"}', reference, check) == {"right": 0.0}
    assert await scores(["Right"], '{"city": "Paris"}', "Paris", check) == {"right": 1.0}


@pytest.mark.parametrize(
    ("output", "precision", "recall", "f1"),
    [("a,b", 1.0, 1.0, 1.0), ("a,x", 0.5, 0.5, 0.5), ("", 0.0, 0.0, 0.0), ("a", 1.0, 0.5, 2 / 3)],
)
async def test_items_of_a_set_are_measured_by_precision_recall_and_f1(
    output: str, precision: float, recall: float, f1: float
) -> None:
    check = SetCheck(expected_set=("a", "b"), mode="equal")
    text = json.dumps([word for word in output.split(",") if word])
    values = await scores(["Precision", "Recall", "F1", "Same"], text, None, check)
    assert values == {
        "precision": precision,
        "recall": recall,
        "f1": pytest.approx(f1),
        "same": float(f1 == 1),
    }


def test_a_recursive_schema_and_a_missing_reference_compare_all_the_same() -> None:
    tree: Mapping[str, JsonValue] = {
        "type": "object",
        "properties": {"child": {"$ref": "#"}, "lost": {"$ref": "#/$defs/Nope"}},
    }
    deep: JsonValue = {"child": {"child": {"lost": 1}}}
    assert compare_values(json.dumps(deep), deep, USUAL, tree).total.is_equal


def test_values_nested_too_deeply_are_compared_as_text() -> None:
    deep = "[" * 900 + "1" + "]" * 900
    assert compare_values(deep, deep, USUAL).total.is_equal


def test_rules_are_written_only_where_they_say_something() -> None:
    assert "comparison" not in ExactMatch(expected_value="x").model_dump()
    rules = ComparisonRules(number_tolerance=1)
    record = ExactMatch(expected_value="x", comparison=rules)
    assert ExactMatch.model_validate(record.model_dump(mode="json")) == record
