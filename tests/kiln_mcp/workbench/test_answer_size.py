"""Answers are shortened where they are largest, and say what is missing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.workbench.answer_size import SHORTENED, answer_tokens, fit, fit_text
from kiln_mcp.workbench.answer_text import render
from kiln_mcp.workbench.token_estimate import token_estimate
from storage.errors import NextStep

STEP = NextStep(tool="read", reason="the whole", arguments={"detail": "full"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=200),
    lambda values: st.lists(values, max_size=20) | st.dictionaries(st.text(), values, max_size=20),
    max_leaves=25,
)


DATA = st.dictionaries(st.text(min_size=1, max_size=30), VALUES, max_size=12)


@settings(max_examples=15)
@given(DATA, st.sampled_from([100, 300]))
def test_any_answer_fits_in_both_of_its_forms(data: dict[str, JsonValue], most: int) -> None:
    answer: dict[str, Any] = fit(data, STEP, most)
    if "orders" not in data:
        assert token_estimate(json.dumps(answer, ensure_ascii=False)) <= most
        assert token_estimate(render(answer)) <= most
    if answer != data:
        lines = answer[SHORTENED]
        assert isinstance(lines, list)
        assert STEP.model_dump() in answer["next"]


def test_an_answer_that_fits_stays_as_it_is() -> None:
    data: dict[str, JsonValue] = {"a": "x" * 500, "b": [1, 2, 3]}
    assert fit(data, STEP) == data


def test_the_largest_parts_give_way_and_ids_and_short_texts_stay() -> None:
    rows: list[JsonValue] = [{"id": f"{n:012}", "text": "Late again. " * 40} for n in range(30)]
    data: dict[str, Any] = {
        "name": "Refunds",
        "definition": "No refund without a reason. " * 300,
        "rows": rows,
        "tags": ["a", "b"],
        "next": [{"tool": "read", "reason": "look at one"}],
        "next_cursor": "c" * 50,
    }
    answer: dict[str, Any] = fit(data, STEP)
    assert answer["next"] == [*data["next"], STEP.model_dump()]
    for name in ("name", "tags", "next_cursor"):
        assert answer[name] == data[name]
    shown: list[JsonValue] = answer["rows"]
    assert 5 <= len(shown) < 30
    assert shown == rows[: len(shown)]
    definition = str(answer["definition"])
    assert definition.startswith("No refund without a reason.")
    assert answer[SHORTENED] == [
        f"definition: {definition.index('… (')} of 8400 characters",
        f"rows: the first {len(shown)} of 30",
    ]
    assert answer_tokens(answer) > 1500


def test_items_that_a_person_judges_are_whole_or_left_out_by_their_ids() -> None:
    items: list[Any] = [{"item": f"{n}", "input": "Words. " * 300} for n in range(7)]
    answer: dict[str, Any] = fit({"items": items}, STEP)
    shown: list[JsonValue] = answer["items"]
    assert 0 < len(shown) < 5
    assert shown == items[: len(shown)]
    others = ", ".join(str(n) for n in range(len(shown), 7))
    line = f"items: the first {len(shown)} of 7; the others: {others}"
    assert answer[SHORTENED] == [line]


def test_work_orders_have_a_limit_of_their_own() -> None:
    orders: JsonValue = [{"messages": [{"role": "user", "content": "Judge this. " * 2000}]}]
    data: dict[str, JsonValue] = {"orders": orders, "job": "1"}
    assert fit(data, STEP) == data


def test_a_long_error_keeps_its_beginning_and_its_advice() -> None:
    text = f"There is no spec 'x'. {'There are many names. ' * 2000}Next: build_spec."
    shortened = fit_text(text)
    assert token_estimate(shortened) <= 2000
    assert shortened.startswith("There is no spec 'x'.")
    assert shortened.endswith("Next: build_spec.")
    assert "characters left out" in shortened


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The parcel is late, and nobody promised a refund.", 11),
        (json.dumps([{"id": "123456789012", "mean": 0.5, "tags": ["a"]}] * 10), 241),
        ("公司已决定只有在审查文件后才能退款,转账需要五个工作日。", 27),
        ("Возврат средств возможен только после проверки документов.", 18),
        ("| run 1 | correct | 0.1234 | 100 |\n" * 10, 160),
    ],
)
def test_tokens_are_estimated_rather_too_high_than_too_low(text: str, tokens: int) -> None:
    assert tokens * 0.95 <= token_estimate(text) <= tokens * 2.5


def test_the_draft_of_a_spec_is_whole_because_the_next_call_gives_it_back() -> None:
    draft: JsonValue = {"desired_behaviour_description": "No refund. " * 500}
    data: dict[str, Any] = {"fields": draft, "edits": ["It was too vague. " * 400] * 3}
    for answer in (fit(data, STEP), fit({"result": data, "job": "1"}, STEP)):
        result: Any = answer.get("result", answer)
        assert result["fields"] == draft
        assert answer_tokens(answer) <= 2000
