"""A mapping takes the parts of an example from columns, paths and templates."""

import pytest

from storage.exchange.column_map import ColumnMapping, value_at
from storage.exchange.columns import Row

ROW: Row = {
    "Question": "Where is Oslo?",
    "answer": "In Norway",
    "topic": "far away",
    "a.b": "dotted",
    "meta": {"list": [{"name": "first"}, {"name": "last"}]},
    "cell": '{"deep": ["x"]}',
    "empty": "",
    "odd {name}": "braces",
}


def test_columns_give_the_parts_whatever_their_case() -> None:
    example = ColumnMapping("question", "Answer", "topic", "topic").read(ROW)
    assert (example.input, example.reference) == ("Where is Oslo?", "In Norway")
    assert (example.tags, example.topic) == (("far_away",), "far away")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a.b", "dotted"),
        ("meta.list[0].name", "first"),
        ("Meta.list[-1].name", "last"),
        ("meta.list[2].name", None),
        ("meta.nothing.name", None),
        ("meta[", None),
        ("cell.deep[0]", "x"),
        ("Meta.list.-1.name", "last"),
        ("meta.list.0.name", "first"),
        ("{{question}} {{ answer }}", "Where is Oslo? In Norway"),
        ("{{empty}} {{answer}}", "In Norway"),
        ("{{empty}}", None),
        ("odd {name}", "braces"),
        ("{{meta.list[0]}}", '{"name": "first"}'),
    ],
)
def test_an_expression_finds_its_value(expression: str, value: str | None) -> None:
    assert value_at(ROW, expression) == value


def test_a_row_without_an_output_has_no_reference() -> None:
    assert ColumnMapping("question", "empty").read(ROW).reference is None


@pytest.mark.parametrize(
    ("expression", "reason"), [("empty", "'empty'"), ("{{answer}} {{nothing}}", "{{nothing}}")]
)
def test_a_row_without_a_value_for_the_input_says_which(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"no value for .*{reason}"):
        ColumnMapping(expression).read(ROW)


def test_messages_at_a_path_are_a_conversation() -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
    example = ColumnMapping("body.messages").read({"body": {"messages": messages}})
    assert (example.input, example.reference, len(example.messages)) == ("Hello", "Good day", 2)
