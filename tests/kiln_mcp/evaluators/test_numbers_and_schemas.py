"""Numbers with a direction, and outputs that must fit a schema."""

import json
from typing import cast

import pytest
from pydantic import JsonValue

from kiln_mcp.errors import InvalidArguments
from kiln_mcp.evaluators.definitions import read_definition
from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Skipped
from kiln_mcp.evaluators.registry import evaluator_of, is_tried, make_evaluator
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, EvalOutputScore, Task, Usage
from storage.errors import InvalidValue

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
USAGE = Usage(
    input_tokens=100, output_tokens=20, total_tokens=120, cost=0.004, total_llm_latency_ms=2500
)


def context(
    kind: str = "pass_fail", schema: dict[str, JsonValue] | None = None
) -> EvaluationContext:
    scores = (EvalOutputScore.model_validate({"name": "Right", "type": kind}),)
    record = Eval(name="Right", output_scores=scores, eval_set_filter_id="tag::test")
    text = json.dumps(schema) if schema else None
    task = Task(name="Answer", instruction="Answer.", output_json_schema=text)
    return EvaluationContext(cast("Engine", None), record, task, "test")


async def record_of(kind: str, **settings: JsonValue) -> EvalConfig:
    definition = read_definition("create_evaluator", kind, {}, settings)
    record = await make_evaluator(None, definition, "any")
    return EvalConfig.model_validate_json(record.model_dump_json())


async def score(record: EvalConfig, case: Case, kind: str = "pass_fail") -> float:
    result = await evaluator_of(record).evaluate(case, context(kind))
    assert isinstance(result, Evaluation), result
    return result.values["right"]


@pytest.mark.parametrize(
    ("measure", "number"),
    [
        ("latency_s", 2.5),
        ("cost", 0.004),
        ("input_tokens", 100),
        ("output_tokens", 20),
        ("total_tokens", 120),
        ("characters", 11),
        ("words", 3),
        ("lines", 2),
    ],
)
async def test_a_measure_passes_up_to_its_limit(measure: str, number: float) -> None:
    case = Case("in", "two\nwords c", usage=USAGE)
    for limit, expected in ((number, 1.0), (number * 0.9, 0.0)):
        record = await record_of("number_check", measure=measure, at_most=limit)
        assert await score(record, case) == expected
    result = await evaluator_of(record).evaluate(case, context())
    assert isinstance(result, Evaluation)
    assert result.number == number
    assert f"{measure} is {number:g}, at most" in result.verdict


async def test_without_a_limit_a_number_lies_between_the_best_and_the_worst() -> None:
    record = await record_of("number_check", measure="latency_s", best=0, worst=10)
    assert await score(record, Case("in", "x", usage=USAGE)) == 0.75
    assert await score(record, Case("in", "x", usage=USAGE), "five_star") == 4.0
    rising = await record_of("number_check", measure="words", best=4, worst=0)
    assert [await score(rising, Case("in", text)) for text in ("", "a b", "a b c d e")] == [
        0,
        0.5,
        1,
    ]


async def test_an_output_whose_usage_is_not_known_is_skipped() -> None:
    record = await record_of("number_check", measure="cost", at_most=1)
    result = await evaluator_of(record).evaluate(Case("in", "x"), context())
    assert isinstance(result, Skipped)
    assert "no cost recorded" in result.detail


async def test_a_number_in_the_output_is_taken_by_an_expression() -> None:
    record = await record_of(
        "number_check", value_expression="(final_message|fromjson).total", at_least=5, at_most=9
    )
    outputs = ['{"total": 7}', '{"total": "9"}', '{"total": 4}', '{"total": "many"}', "no JSON"]
    values = [await score(record, Case("in", output)) for output in outputs]
    assert values == [1.0, 1.0, 0.0, 0.0, 0.0]
    bare = await record_of("number_check", value_expression="final_message")
    assert await score(bare, Case("in", "4"), "five_star") == 4.0
    with pytest.raises(EvalError, match="goes from 0 to 1"):
        await score(bare, Case("in", "4"))


@pytest.mark.parametrize(
    "settings",
    [
        {"measure": "words"},
        {"at_most": 3},
        {"measure": "words", "value_expression": "final_message", "at_most": 3},
        {"measure": "words", "best": 3},
        {"measure": "words", "best": 3, "worst": 3},
        {"measure": "words", "at_least": 4, "at_most": 3},
        {"measure": "words", "at_most": 3, "best": 1, "worst": 2},
    ],
)
async def test_a_number_without_a_direction_makes_no_evaluator(
    settings: dict[str, JsonValue],
) -> None:
    with pytest.raises(InvalidArguments):
        await record_of("number_check", **settings)


async def test_an_output_must_fit_the_tasks_schema_or_the_one_that_is_given() -> None:
    own = await record_of("json_schema", expected_schema=SCHEMA)
    outputs = ['{"city": "Rome"}', '{"city": 3}', "{}", "Rome", '{"city": NaN}', "```json\n{}\n```"]
    assert [await score(own, Case("in", text)) for text in outputs] == [1, 0, 0, 0, 0, 0]
    of_task = await record_of("json_schema")
    result = await evaluator_of(of_task).evaluate(Case("in", "{}"), context(schema=SCHEMA))
    assert isinstance(result, Evaluation)
    assert result.values == {"right": 0.0}
    assert "'city' is a required property" in result.verdict


async def test_a_schema_check_without_any_schema_is_refused() -> None:
    definition = read_definition("create_evaluator", "json_schema", {}, {})
    with pytest.raises(InvalidValue, match="has no output schema"):
        definition.check_fields(context().task)
    definition.check_fields(context(schema=SCHEMA).task)
    for schema in ({}, {"type": "nothing"}, {"$ref": "http://127.0.0.1/x"}):
        with pytest.raises(EvalError):
            await record_of("json_schema", expected_schema=cast("JsonValue", schema))


async def test_the_new_checks_are_tried_on_right_answers() -> None:
    assert is_tried(await record_of("json_schema", expected_schema=SCHEMA))
    assert is_tried(await record_of("number_check", measure="words", at_most=3))
