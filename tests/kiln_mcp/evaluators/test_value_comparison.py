"""Outputs compared by value, and the scores that their fields get."""

import json
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Skipped
from kiln_mcp.evaluators.field_scores import score_names
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.value_comparison import compare_values
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.item_templates import Case
from storage import ComparisonRules, Eval, EvalConfig, EvalOutputScore, ExactMatch, SetCheck, Task
from storage.records.evaluation import score_key
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


ODD: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {
        "n": {"type": "number"},
        "i": {"type": "integer"},
        "s": {"type": "string"},
        "b": {"type": "boolean"},
        "t": {"type": "string", "format": "date-time"},
        "l": {"type": "array", "items": {"type": "number"}},
        "o": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "a"},
                        "when": {"type": "string", "format": "date"},
                    },
                },
                {
                    "type": "object",
                    "properties": {"kind": {"const": "b"}, "when": {"type": "string"}},
                },
                {"type": "null"},
            ]
        },
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "sum": {"type": "number"},
                    "day": {"type": "string", "format": "date"},
                },
            },
        },
        "m": {"type": "object", "additionalProperties": {"type": "string", "format": "date"}},
    },
}
BY_ID = {"fields": [{"field": "lines", "item_key": "id"}]}


@pytest.mark.parametrize(
    ("actual", "expected", "rules"),
    [
        ('{"n": -0.0}', {"n": 0}, {}),
        ('{"i": 1e3}', {"i": 1000}, {}),
        ('{"i": "1e3"}', {"i": 1000}, {}),
        ('{"s": 75001.0}', {"s": "75001"}, {}),
        ('{"b": true}', {"b": "True"}, {}),
        ('{"t": "2024-05-01T02:00:00+02:00"}', {"t": "2024-05-01t00:00:00z"}, {}),
        ('{"l": [1, 1.0, 2]}', {"l": [2, 1, 1]}, {"list_order": "any"}),
        ('{"l": [2, 0.5]}', {"l": [1.2, 3]}, {"list_order": "any", "number_tolerance": 1}),
        ('{"m": {"x": "2024-05-01"}}', {"m": {"x": "2024-05-01T00:00:00Z"}}, {}),
        (
            '{"o": {"kind": "a", "when": "2024-05-01"}}',
            {"o": {"kind": "a", "when": "2024-05-01T00:00:00Z"}},
            {},
        ),
        (
            '{"lines": [{"id": "b", "sum": 2}, {"id": "a", "sum": 1}]}',
            {"lines": [{"id": "a", "sum": 1}, {"id": "b", "sum": 2}]},
            BY_ID,
        ),
        (
            '{"lines": [{"sum": 1.4}], "n": 1}',
            {"lines": [{"sum": 1}], "n": 1},
            {"fields": [{"field": "lines.sum", "number_tolerance": 0.5}]},
        ),
        (
            '{"lines": [{"id": "x", "sum": 1}]}',
            {"lines": [{"id": "a", "sum": 1}]},
            {"ignored_fields": ["lines.id"]},
        ),
        ('{"s": "so\\u00adft, Paris!"}', {"s": "soft paris"}, {"text": "normalised"}),
    ],
)
def test_odd_spellings_of_the_same_are_equal(
    actual: str, expected: JsonValue, rules: Mapping[str, object]
) -> None:
    rule_set = ComparisonRules.model_validate(rules)
    assert compare_values(actual, expected, rule_set, ODD).total.is_equal


@pytest.mark.parametrize(
    ("actual", "expected", "rules"),
    [
        ('{"i": "1_000"}', {"i": 1000}, {}),
        ('{"n": 1e999}', {"n": 1}, {}),
        ('{"b": 1}', {"b": True}, {}),
        ('{"l": []}', {"l": None}, {}),
        ('{"l": [1, 1]}', {"l": [1]}, {"list_order": "any"}),
        ('{"t": "2024-05-01T02:00:00"}', {"t": "2024-05-01T02:00:00+02:00"}, {}),
        ('{"s": "20240501"}', {"s": "20240502"}, {"date_tolerance_days": 2}),
        (
            '{"o": {"kind": "b", "when": "2024-05-01"}}',
            {"o": {"kind": "b", "when": "2024-05-01T00:00:00Z"}},
            {},
        ),
        (
            '{"lines": [{"sum": 1.4}], "n": 1.4}',
            {"lines": [{"sum": 1}], "n": 1},
            {"fields": [{"field": "lines.sum", "number_tolerance": 0.5}]},
        ),
        ('{"lines": [{"s": 1}]}', {"lines": [{"s": 2}]}, {"ignored_fields": ["s"]}),
        ('{"s": "\U0001f44d"}', {"s": "\U0001f44e"}, {"text": "normalised"}),
        ('{"s": "-5 C"}', {"s": "5 C"}, {"text": "normalised"}),
        ('{"s": "\u0939\u093f\u0928"}', {"s": "\u0939\u0928"}, {"text": "normalised"}),
    ],
)
def test_odd_values_that_differ_are_not_equal(
    actual: str, expected: JsonValue, rules: Mapping[str, object]
) -> None:
    rule_set = ComparisonRules.model_validate(rules)
    assert not compare_values(actual, expected, rule_set, ODD).total.is_equal


async def test_no_field_of_an_output_that_is_no_object_agrees_also_none_that_is_null() -> None:
    names = ["City", "Since", "Owner name", "Whole"]
    values = await scores(names, "I cannot.", {"city": "Paris", "since": None})
    assert values == dict.fromkeys(("city", "since", "owner_name", "whole"), 0.0)


async def test_an_item_whose_reference_is_no_object_is_skipped_with_the_reason() -> None:
    record = EvalConfig(
        name="check", config_type="v2", properties=ExactMatch(reference_key="reference_answer")
    )
    eval_record = Eval(
        name="Address",
        output_scores=(EvalOutputScore(name="City", type="pass_fail"),),
        eval_set_filter_id="tag::test",
    )
    task = Task(name="Read", instruction="Read it.", output_json_schema=json.dumps(ADDRESS))
    context = EvaluationContext(cast("Engine", None), eval_record, task, "test")
    references: list[JsonValue] = ["Paris", ["Paris"], 5]
    for reference in references:
        case = Case("in", '{"city": "Paris"}', reference={"reference_answer": reference})
        skip = await evaluator_of(record).evaluate(case, context)
        assert isinstance(skip, Skipped)
        assert "is not" in skip.detail


async def test_the_fields_of_objects_paired_by_a_key_are_measured_each() -> None:
    check = ExactMatch(
        reference_key="reference_answer",
        comparison=ComparisonRules.model_validate(
            {"fields": [{"field": "lines", "item_key": "name"}]}
        ),
    )
    output = json.dumps(
        {"lines": [{"name": "b", "sum": 3}, {"name": "a", "sum": 1}, {"name": "z", "sum": 9}]}
    )
    reference: JsonValue = {"lines": [{"name": "a", "sum": 1}, {"name": "b", "sum": 2}]}
    names = ["Lines name recall", "Lines sum precision", "Lines sum recall", "Lines f1"]
    assert await scores(names, output, reference, check) == {
        "lines_name_recall": 1.0,
        "lines_sum_precision": pytest.approx(1 / 3),
        "lines_sum_recall": 0.5,
        "lines_f1": pytest.approx(0.4),
    }


def test_a_field_without_letters_of_a_key_has_a_score_of_its_own() -> None:
    fields = ["_id", "\u4fa1\u683c", "\u540d\u524d", "x" * 40, "f1", "city"]
    names = score_names(fields)
    assert list(names.values()) == fields
    keys = [score_key(name) for name in names]
    assert len({*keys}) == len(fields)
    assert (keys[0], keys[-1]) == ("id", "city")
    assert all(len(name) <= 32 for name in names)


async def test_numbers_of_a_set_are_compared_by_value() -> None:
    check = SetCheck(expected_set=("1", "2"), mode="equal")
    assert await scores(["Same"], "[2.0, 1]", None, check) == {"same": 1.0}


def test_a_comparison_that_grows_without_end_is_given_up() -> None:
    value: JsonValue = [[[number, other] for other in range(60)] for number in range(60)]
    turned: JsonValue = [
        [[number + 0.5, other] for other in range(60)] for number in reversed(range(60))
    ]
    rules = ComparisonRules(list_order="any", number_tolerance=0.1)
    assert compare_values(value, turned, rules).total.detail == "too large to compare"
