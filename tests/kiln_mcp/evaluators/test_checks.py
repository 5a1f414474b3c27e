import json
import unicodedata
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Skipped
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.value_extraction import as_set, as_text
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from storage import (
    ArgMatch,
    Contains,
    Eval,
    EvalConfig,
    EvalOutputScore,
    ExactMatch,
    PatternMatch,
    SetCheck,
    StepCountCheck,
    Task,
    ToolCallCheck,
    ToolCallSpec,
)
from storage.records.evaluator import EvaluatorProperties

REFERENCE: dict[str, JsonValue] = {"reference_answer": "Paris", "tags": ["a", "b"]}


def case(output: str, reference: dict[str, JsonValue] | None = None) -> Case:
    return Case("Capital of France?", output, reference=reference)


RIGHT = Eval(
    name="Right",
    output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
    eval_set_filter_id="tag::test",
)


async def run_check(check: EvaluatorProperties, of: Case) -> Evaluation | Skipped:
    record = EvalConfig(name="check", config_type="v2", properties=check)
    task = Task(name="Answer", instruction="Answer.")
    context = EvaluationContext(cast("Engine", None), RIGHT, task, "test")
    return await evaluator_of(record).evaluate(of, context)


async def passed(check: EvaluatorProperties, of: Case) -> bool:
    verdict = await run_check(check, of)
    assert isinstance(verdict, Evaluation), verdict
    assert verdict.values in ({"right": 1.0}, {"right": 0.0})
    return verdict.values["right"] == 1.0


@given(st.text())
async def test_an_output_matches_itself_exactly(output: str) -> None:
    assert await passed(ExactMatch(expected_value=output), case(output))


async def test_case_counts_unless_it_is_told_not_to() -> None:
    assert not await passed(ExactMatch(expected_value="paris"), case("Paris"))
    assert await passed(ExactMatch(expected_value="paris", case_sensitive=False), case("Paris"))


async def test_an_output_is_compared_with_the_items_reference() -> None:
    check = ExactMatch(reference_key="reference_answer")
    assert await passed(check, case("Paris", REFERENCE))
    assert not await passed(check, case("Lyon", REFERENCE))


@pytest.mark.parametrize("reference", [None, {}, {"reference_answer": None}])
async def test_an_item_without_its_reference_is_skipped_and_not_failed(
    reference: dict[str, JsonValue] | None,
) -> None:
    for check in (
        ExactMatch(reference_key="reference_answer"),
        Contains(reference_key="reference_answer"),
        SetCheck(reference_key="reference_answer", mode="equal"),
    ):
        verdict = await run_check(check, case("Paris", reference))
        assert isinstance(verdict, Skipped)
        assert verdict.reason == "missing_reference_key"


async def test_an_expression_takes_a_field_of_a_json_output() -> None:
    check = ExactMatch(value_expression="(final_message | fromjson).city", expected_value="Paris")
    assert await passed(check, case('{"city": "Paris", "sure": true}'))


@pytest.mark.parametrize("output", ["no JSON", "{}", '["Paris"]'])
async def test_an_output_without_the_wanted_field_fails(output: str) -> None:
    check = ExactMatch(value_expression="(final_message | fromjson).city", expected_value="Paris")
    assert not await passed(check, case(output))


async def test_an_expression_that_needs_a_missing_trace_skips_the_item() -> None:
    check = ExactMatch(value_expression="trace[0].content", expected_value="x")
    verdict = await run_check(check, case("Paris"))
    assert isinstance(verdict, Skipped)
    assert verdict.reason == "missing_trace"


async def test_an_expression_with_wrong_syntax_is_the_evaluators_fault() -> None:
    check = ExactMatch(value_expression="final_message |", expected_value="x")
    with pytest.raises(EvalError, match=r"cannot be used"):
        await run_check(check, case("x"))


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__[1].__subclasses__()",
        "'x' * 10 ** 9",
        "final_message * 100000000",
        "range(10000000000) | list",
        "cycler.__init__.__globals__.os.popen('true').read()",
    ],
)
async def test_an_expression_can_neither_reach_out_nor_use_up_memory(expression: str) -> None:
    check = ExactMatch(value_expression=f"({expression}) ~ final_message", expected_value="x")
    assert not await passed(check, case("x"))


async def test_values_that_are_not_text_are_compared_as_json() -> None:
    check = ExactMatch(value_expression="(final_message | fromjson).sure", expected_value="true")
    assert await passed(check, case('{"sure": true}'))


@pytest.mark.parametrize(
    ("mode", "output", "expected"),
    [
        ("must_match", "order 123", True),
        ("must_match", "order", False),
        ("must_not_match", "order 123", False),
        ("must_not_match", "order", True),
    ],
)
async def test_a_pattern_is_searched_anywhere(mode: str, output: str, *, expected: bool) -> None:
    check = PatternMatch.model_validate({"pattern": r"\d+", "mode": mode})
    assert await passed(check, case(output)) is expected


async def test_a_pattern_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(EvalError, match=r"regular expression"):
        await run_check(PatternMatch(pattern="("), case("x"))


async def test_contains_can_also_mean_must_not_contain() -> None:
    assert await passed(Contains(substring="par", case_sensitive=False), case("Paris"))
    assert not await passed(Contains(substring="Par", mode="must_not_contain"), case("Paris"))
    assert await passed(Contains(reference_key="reference_answer"), case("It is Paris.", REFERENCE))


async def test_an_empty_reference_which_every_output_contains_is_skipped() -> None:
    check = Contains(reference_key="reference_answer")
    assert isinstance(await run_check(check, case("Paris", {"reference_answer": " "})), Skipped)


@pytest.mark.parametrize(
    ("mode", "output", "expected"),
    [
        ("equal", '["b", "a"]', True),
        ("equal", '["a"]', False),
        ("subset", '["a"]', True),
        ("subset", '["a", "c"]', False),
        ("superset", '["a", "b", "c"]', True),
        ("superset", "a", False),
    ],
)
async def test_sets_are_compared_without_order(mode: str, output: str, *, expected: bool) -> None:
    check = SetCheck.model_validate({"reference_key": "tags", "mode": mode})
    assert await passed(check, case(output, REFERENCE)) is expected


@given(st.lists(st.text(max_size=5), max_size=6))
def test_a_list_and_its_json_are_the_same_set(items: list[str]) -> None:
    assert as_set(items) == as_set(json.dumps(items))
    assert as_set(items) == {unicodedata.normalize("NFC", item).strip() for item in items}


def test_text_stays_as_it_is_and_the_rest_becomes_json() -> None:
    assert as_text("ä") == "ä"
    assert as_text({"ä": [1, None]}) == '{"ä": [1, null]}'
    assert as_set({"a": 1}) == {"a"}
    assert as_set(3) == {"3"}


def trace(*calls: tuple[str, str]) -> tuple[dict[str, JsonValue], ...]:
    made: list[JsonValue] = [
        {"id": "1", "function": {"name": name, "arguments": arguments}} for name, arguments in calls
    ]
    return (
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": made},
        {"role": "assistant", "content": "done"},
    )


SEARCH = ToolCallSpec(tool_name="search")
SEND = ToolCallSpec(
    tool_name="send",
    expected_args={
        "to": ArgMatch(value="a@b.c"),
        "text": ArgMatch(value="hi", match_mode="contains"),
        "count": ArgMatch(value=r"^\d$", match_mode="regex"),
    },
)
SENT = ("send", '{"to": "a@b.c", "text": "oh hi", "count": 3}')


@pytest.mark.parametrize(
    ("mode", "unexpected", "calls", "expected"),
    [
        ("any", "ignore", [SENT], True),
        ("any", "ignore", [], False),
        ("all", "ignore", [SENT], False),
        ("all", "ignore", [SENT, ("search", "{}")], True),
        ("ordered", "ignore", [SENT, ("search", "{}")], False),
        ("ordered", "ignore", [("search", "{}"), ("other", "{}"), SENT], True),
        ("ordered", "fail", [("search", "{}"), ("other", "{}"), SENT], False),
        ("never", "ignore", [("other", "{}")], True),
        ("never", "ignore", [("search", "no json")], False),
    ],
)
async def test_tool_calls_are_matched_by_mode(
    mode: str, unexpected: str, calls: list[tuple[str, str]], *, expected: bool
) -> None:
    check = ToolCallCheck.model_validate(
        {"expected_tools": [SEARCH, SEND], "match_mode": mode, "on_unexpected_tools": unexpected}
    )
    assert await passed(check, Case("x", "y", trace=trace(*calls))) is expected


@pytest.mark.parametrize(
    "arguments",
    ['{"to": "x", "text": "hi", "count": 3}', '{"to": "a@b.c", "text": "hi", "count": 33}', "{}"],
)
async def test_a_tool_call_with_other_arguments_is_another_call(arguments: str) -> None:
    check = ToolCallCheck(expected_tools=(SEND,))
    assert not await passed(check, Case("x", "y", trace=trace(("send", arguments))))


@pytest.mark.parametrize(
    ("counted", "count"), [("tool_calls", 1), ("model_responses", 2), ("turns", 1)]
)
async def test_steps_are_counted_between_their_bounds(counted: str, count: int) -> None:
    of = Case("x", "y", trace=trace(SENT))

    def check(low: int | None, high: int | None) -> StepCountCheck:
        return StepCountCheck.model_validate(
            {"count_type": counted, "min_count": low, "max_count": high}
        )

    assert await passed(check(count, count), of)
    assert not await passed(check(count + 1, None), of)
    assert not await passed(check(None, count - 1), of)


async def test_a_check_of_the_trace_skips_an_item_without_one() -> None:
    verdict = await run_check(ToolCallCheck(expected_tools=(SEARCH,)), case("x"))
    assert isinstance(verdict, Skipped)
    assert verdict.reason == "missing_trace"
