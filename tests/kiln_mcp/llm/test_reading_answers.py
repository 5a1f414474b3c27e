"""What is read in a model's text: the last value that fits the schema, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.llm.answer_schemas import read_value
from kiln_mcp.llm.json_pieces import json_pieces

VERDICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "right": {"type": "string", "enum": ["pass", "fail"]},
    },
    "required": ["reasoning", "right"],
    "additionalProperties": False,
}
QUALITY: dict[str, Any] = {
    "type": "object",
    "properties": {"quality": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["quality"],
    "additionalProperties": False,
}
JUDGED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "maxLength": 1000},
        "right": {"type": ["string", "null"], "enum": ["pass", "fail", None]},
    },
    "required": ["reasoning", "right"],
    "additionalProperties": False,
}
ANY_OBJECT: dict[str, Any] = {"type": "object"}
PASS = {"reasoning": "checked", "right": "pass"}
FAIL = json.dumps({"reasoning": "draft", "right": "fail"})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PASS),
        f"```json\n{json.dumps(PASS)}\n```",
        f"A first thought: {FAIL}\nOn a second look: {json.dumps(PASS)}",
        f"```json\n{FAIL}\n```\nNo:\n```json\n{json.dumps(PASS)}\n```\nThat is all.",
        f"The template {{city}} is filled, see [Note].\n{json.dumps(PASS)}",
        f"{json.dumps(PASS)}\nAs in [1] and {{city}}.",
        f"{json.dumps(VERDICT)}\n{json.dumps(PASS)}",
        f"{json.dumps(PASS)}\nIt fits {json.dumps(VERDICT)}",
        f"[{json.dumps(PASS)}]",
        json.dumps({"verdict": PASS}),
        json.dumps(json.dumps(PASS)),
        '{"Reasoning": "checked", "RIGHT": "Pass"}',
        f"{FAIL[:-1]}, then again:\n{json.dumps(PASS)}",
    ],
)
async def test_the_last_value_that_fits_is_the_answer(text: str) -> None:
    assert await read_value(text, VERDICT) == (PASS, None)


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "4.",
        " **4** ",
        '"4"',
        "4/5",
        "4 out of 5",
        "Quality: 4",
        "It is good.\nQuality: 4/5",
        '{"quality": "4"}',
        '{"Quality": 4}',
        '[{"quality": 4}]',
        '{"quality": 4.0}',
        '{"score": 4}',
        '{"quality": {"score": 4, "comment": "clear"}}',
        "Score: 4",
        "Quality: 4 (clear and right)",
        "4 stars",
        "The quality is 4.",
        "| quality | 4 |",
        "<score>4</score>",
        "$\\boxed{4}$",
        "[[4]]",
        "4\n\nIt is clear.",
        "★★★★☆",
        "As in [1] and {x}, it is clear.\nQuality: 4",
        "Bewertung: 4/5",
        "\u8bc4\u5206\uff1a4",
        "four",
        "Quality: Four",
        "Four out of 5",
        '{"quality": "four"}',
        "4,0",
        "Quality: 4,0",
        '{"quality": "4,0"}',
        '{"quality": 4,0}',
        "{quality: 4}",
        "{ quality : 4, }",
        "{'quality': 4}",
        "{quality: '4'}",
        "{“quality”: 4}",
        '{"quality": 4 // clear and right\n}',
        '{/* clear */ "quality": 4}',
    ],
)
async def test_a_number_that_means_one_value_is_read(text: str) -> None:
    assert await read_value(text, QUALITY) == ({"quality": 4}, None)


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "true",
        "3.5",
        "null",
        "4/10",
        "4 or 5",
        "4 - 5",
        "4, or rather 3",
        "★★★★☆☆",
        "Clarity: 4\nBrevity: 2",
        '{"score": 4, "rating": 5}',
        '{"quality": {"clarity": 4, "brevity": 5}}',
        '{"quality": true}',
        '{"quality": "for"}',
        "fourteen",
        "four or five",
        "4,5",
        "4,000",
        '{"quality": 4,5}',
        '{"quality": 4, 0}',
        "{quality: four}",
        "{quality: 4",
        "{quality: 4 //}",
        '{"quality": 9}',
        '{"quality": 4, "Quality": 5}',
        '{"quality": 9.2e124}',
        "",
    ],
)
async def test_what_is_out_of_range_or_ambiguous_is_not_read(text: str) -> None:
    _, problem = await read_value(text, QUALITY)
    assert problem is not None


async def test_a_word_is_a_verdict_and_the_prose_its_reason() -> None:
    value, problem = await read_value("All steps are right.\nVerdict of right: no\nPASS", VERDICT)
    assert problem is None
    assert isinstance(value, dict)
    assert value["right"] == "pass"
    assert str(value["reasoning"]).startswith("All steps are right.")


@pytest.mark.parametrize(
    "text",
    [
        "Verdict: PASS",
        "Final verdict: **pass**",
        "The answer is PASS.",
        "PASS: it matches",
        "PASS — it matches, which nobody doubts",
        "passed",
        "pass ✅",
        "“Pass”",
        "PASS\n\nIt matches.",
        "1. The city fits.\n2. So does the country.\nOverall verdict: pass (both fit)",
        "<verdict>pass</verdict>",
        "Urteil: pass",
        "\u7ed3\u8bba\uff1apass",
        '{"right": "PASS"}',
        '{"right": "Passed", "reasoning": null}',
        '{"verdict": "pass", "explanation": "It fits."}',
        '{"right": "pass", "reasoning": ["It", "fits."], "confidence": 0.9}',
        json.dumps({"right": "pass", "reasoning": "It fits. " * 200}),
        r'{"reasoning": "By \(a\_b\) it fits.", "right": "pass"}',
        '{"reasoning": "It fits, [1,]", "right": "pass",}',
        "{'reasoning': 'It\\'s \"right\"', 'right': 'pass'}".replace("\\'", ""),
        "```python\n{'reasoning': \"It's right\", 'right': 'pass'}\n```",
        "{reasoning: 'It's \\(a\\_b\\) \"so\", see {1}', right: 'pass'}",
        "{'reasoning': 'It's right', 'right': 'pass', 'sure': true}",
        '{reasoning: "not: right: fail // no", right: "pass"}',
        "{“reasoning”: “It's right”, “right”: “pass”}",
    ],
)
async def test_a_verdict_is_read_as_people_write_it(text: str) -> None:
    value, problem = await read_value(text, JUDGED)
    assert problem is None
    assert isinstance(value, dict)
    assert value["right"] == "pass"
    assert len(str(value["reasoning"])) <= 1000


@pytest.mark.parametrize(
    "text",
    [
        "Not pass",
        "I would not say pass",
        "PASS, or rather fail",
        "1. pass\n2. fail\nSo it goes.",
        "yes",
        "true",
        '{"right": true, "reasoning": ""}',
        '{"right": "yes", "reasoning": ""}',
        '{"right": "pass", "verdict": "fail", "reasoning": ""}',
        '{"Right": "pass", "RIGHT": "fail", "reasoning": ""}',
    ],
)
async def test_words_that_may_mean_several_verdicts_are_none(text: str) -> None:
    _, problem = await read_value(text, JUDGED)
    assert problem is not None


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "N/A",
        "Not applicable.",
        "Cannot be judged from this.",
        '{"right": null}',
        '{"right": "cannot be judged", "reasoning": ""}',
    ],
)
async def test_a_judge_abstains_in_words_too(text: str) -> None:
    value, problem = await read_value(text, JUDGED)
    assert problem is None
    assert isinstance(value, dict)
    assert value["right"] is None


@pytest.mark.parametrize(
    "answer",
    [{"city": "Paris", "country": "FR", "more": 1}, {"city": "Paris"}, {"answer": "Paris"}],
)
async def test_an_output_that_is_no_verdict_is_not_made_to_fit(answer: dict[str, Any]) -> None:
    names = ("city", "country")
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }
    _, problem = await read_value(json.dumps(answer), schema)
    assert problem is not None


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("4", {"type": "integer"}, 4),
        ("Score: 4", {"type": "integer"}, 4),
        ("PASS", {"type": "string", "enum": ["pass", "fail"]}, "pass"),
        ("Yes.", {"type": "boolean"}, True),
        ("true", {"type": "string", "enum": ["yes", "no"]}, "yes"),
        ("No", {"enum": [True, False]}, False),
        ("4,5", {"type": "number"}, 4.5),
        ("Paris", {"type": "string"}, "Paris"),
        ('"Paris"', {"type": "string"}, "Paris"),
        ("75001", {"type": "string"}, "75001"),
        ('{"zip": 75001}', {"properties": {"zip": {"type": "string"}}}, {"zip": "75001"}),
    ],
)
async def test_a_scalar_is_read_as_its_schema_means_it(
    text: str, schema: dict[str, Any], value: object
) -> None:
    assert await read_value(text, schema) == (value, None)


@pytest.mark.parametrize(
    "number",
    ["NaN", "NaN,", "1e999,", "Infinity", "-Infinity", "9e999", "-1e400", "nan", "inf", "1" * 1001],
)
async def test_a_number_that_is_not_finite_spoils_its_value(number: str) -> None:
    draft = '{"score": 1}'
    for text in (f'{{"score": {number}}}', f'{draft} then {{"a": {{}}, "score": {number}}}'):
        value, problem = await read_value(text, ANY_OBJECT)
        assert value is None
        assert "not valid JSON" in str(problem)


@pytest.mark.parametrize(
    "text",
    ['{"a": {"b": 1}, "c": ', '{"a": [1, {"b": 2}], "c": "not end', "{", '{"a": {"b": 1}, c}'],
)
async def test_a_part_of_a_broken_value_is_no_answer(text: str) -> None:
    value, problem = await read_value(text, ANY_OBJECT)
    assert value is None
    assert "not valid JSON" in str(problem)


async def test_a_last_verdict_that_does_not_fit_is_not_replaced_by_a_draft() -> None:
    _, problem = await read_value('{"quality": 3} No: {"quality": 9}', QUALITY)
    assert "maximum" in str(problem)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5000, '{"a":' * 150 + "1" + "}" * 150])
async def test_a_value_that_is_nested_too_deeply_is_refused(text: str) -> None:
    _, problem = await read_value(text, {})
    assert "nested" in str(problem)


async def test_a_line_break_in_a_string_is_read() -> None:
    assert await read_value('{"a": "one\ntwo"}', ANY_OBJECT) == ({"a": "one\ntwo"}, None)


async def test_lone_surrogates_are_replaced() -> None:
    value, _ = await read_value('{"name": "a\\ud800"}', ANY_OBJECT)
    assert value == {"name": "a\ufffd"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{}"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text("ab{}[]"), JSON, max_size=3), max_size=4), st.text("ab c\n")
)
def test_all_values_between_prose_are_read(values: list[dict[str, Any]], prose: str) -> None:
    text = prose.join(["", *(json.dumps(value, ensure_ascii=False) for value in values), ""])
    assert [piece.value for piece in json_pieces(text)] == values


async def test_a_text_of_brackets_alone_is_given_up() -> None:
    _, problem = await read_value("{ " * 100_000, ANY_OBJECT)
    assert "brackets that begin no value" in str(problem)


@given(st.text('{}[]",:1e\\ \n'))
def test_any_text_is_read_to_its_end(text: str) -> None:
    pieces = json_pieces(text)
    assert all(0 <= piece.start < piece.end <= len(text) for piece in pieces)
