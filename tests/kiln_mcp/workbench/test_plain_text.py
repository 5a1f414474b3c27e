import json
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from kiln_mcp.workbench.answer_text import for_terminal, render
from kiln_mcp.workbench.plain_text import plain
from storage.errors import NextStep

_texts = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)
_scalars = st.one_of(_texts, st.integers(), st.booleans())
_keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_data = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)


def _leaves(node: JsonValue) -> list[JsonValue]:
    if isinstance(node, list):
        return [leaf for item in node for leaf in _leaves(item)]
    if isinstance(node, dict):
        return [leaf for item in node.values() for leaf in _leaves(item)]
    return [node]


@given(st.dictionaries(_keys, _data, max_size=4))
@example({"_": "\\|"})
def test_the_text_holds_every_value_of_the_structured_form(data: dict[str, JsonValue]) -> None:
    rendering = render(data)
    text = rendering + rendering.replace("\\|", "|")  # cells of tables escape the bar
    for leaf in _leaves(data):
        match leaf:
            case bool():
                assert any(word in text for word in (("yes", "true") if leaf else ("no", "false")))
            case str() if "\n" in leaf:
                assert all(line.strip() in text for line in leaf.split("\n"))
            case _:
                visible = str(leaf)
                assert visible in text or json.dumps(visible, ensure_ascii=False)[1:-1] in text


def test_messages_keep_one_form_and_their_very_words() -> None:
    sentence = render({"messages": [{"role": "system", "content": "a|b"}, {"role": "user"}]})
    assert sentence == "messages:\n  - role: system\n    content: a|b\n  - role: user"


def test_rows_of_short_values_become_a_table() -> None:
    rows: list[JsonValue] = [{"name": "a|b", "score": 0.5}, {"name": "c", "n": 3}]
    assert render({"judges": rows}) == (
        "judges:\n| name | score | n |\n|---|---|---|\n| a\\|b | 0.5 |  |\n| c |  | 3 |"
    )


def test_next_steps_are_lines_that_hold_tool_reason_and_arguments() -> None:
    class Score(BaseModel):
        score: float
        next: list[NextStep] = []

    resume = NextStep(tool="resume_job", reason="go on", arguments={"job": "a1", "limit": {"n": 2}})
    data = plain(Score(score=0.5, next=[resume, NextStep(tool="check_job", reason="see all")]))
    assert render(data) == (
        "score: 0.5\nnext:\n"
        '  - resume_job {"job": "a1", "limit": {"n": 2}}: go on\n'
        "  - check_job: see all"
    )
    assert render(data, lambda step: step.tool) == (
        "score: 0.5\nnext:\n  - resume_job\n  - check_job"
    )
    assert "next" not in plain(Score(score=0.5))


def test_next_steps_of_rows_stay_in_their_table() -> None:
    step: JsonValue = {"tool": "check_job", "reason": "follow it"}
    rows: list[JsonValue] = [{"job": "a", "next": [step]}, {"job": "b"}]
    assert render({"jobs": rows}) == (
        "jobs:\n| job | next |\n|---|---|\n| a | check_job: follow it |\n| b |  |"
    )


def test_longer_text_is_indented_so_that_it_cannot_pass_for_a_field() -> None:
    assert render({"prompt": "one\nscore: 1"}) == "prompt: |\n  one\n  score: 1"


def test_nulls_and_empty_lists_are_left_out_but_lists_of_records_that_every_answer_has() -> None:
    class Order(BaseModel):
        id: str

    class Answer(BaseModel):
        name: str
        note: str | None = None
        rows: list[str] = []
        warnings: list[str]
        orders: list[Order]

    assert plain(Answer(name="x", warnings=[], orders=[])) == {"name": "x", "orders": []}
    assert render({"orders": []}) == "orders: []"


@given(st.text())
def test_nothing_of_a_text_meddles_with_a_terminal_and_json_keeps_its_value(text: str) -> None:
    visible = for_terminal(text)
    assert not any(
        unicodedata.category(sign) in {"Cc", "Cs"} for sign in visible if sign not in "\n\t"
    )
    json_text = json.dumps({"a": text}, indent=2, ensure_ascii=False)
    assert json.loads(for_terminal(json_text)) == {"a": text}


def test_what_meddles_is_seen() -> None:
    assert for_terminal("a\x1b[2J\u202eb\r\nc\0\x9b") == r"a\u001b[2J\u202eb" "\n" r"c\u0000\u009b"
    harmless = "é 日本 👩\u200d👧\t\u05e9\u200f"
    assert for_terminal(harmless) == harmless


def test_half_a_character_never_leaves_in_an_answer() -> None:
    class Odd(BaseModel):
        text: str
        parts: list[dict[str, str]]

    data = plain(Odd(text="a\ud800", parts=[{"b": "\ud83d\ude00"}]))
    assert data == {"text": "a\ufffd", "parts": [{"b": "\U0001f600"}]}
