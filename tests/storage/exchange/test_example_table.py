"""Rows become examples, each bad one is named, and what is not certain is said."""

import pytest

from storage.errors import Refusal
from storage.exchange.column_map import ColumnMapping
from storage.exchange.columns import BadRow
from storage.exchange.example_table import example_table
from storage.exchange.table_source import TableSource

ROWS: list[tuple[int, dict[str, object] | str]] = [
    (1, {"question": "a", "answer": "b"}),
    (2, {"answer": "b"}),
    (3, "it is no JSON"),
    (4, {"question": "c"}),
]


def source(*rows: tuple[int, dict[str, object] | str]) -> TableSource:
    return TableSource("t.jsonl", b"", lambda: iter(rows))


@pytest.mark.parametrize("mapping", [None, ColumnMapping("question", "answer")])
def test_a_bad_row_is_named_and_costs_itself_alone(mapping: ColumnMapping | None) -> None:
    results = dict(example_table(source(*ROWS), mapping))
    bad = {row.number: row.reason for row in results.values() if isinstance(row, BadRow)}
    assert list(results) == [1, 2, 3, 4]
    assert list(bad) == [2, 3]
    assert "input" in bad[2]
    assert bad[3] == "it is no JSON"


def test_the_shape_and_the_columns_are_said() -> None:
    table = example_table(source(*ROWS))
    assert (table.shape, table.columns) == ("usual columns", ("question", "answer"))
    assert table.mapping == ColumnMapping("question", "answer")


def test_columns_that_are_not_recognised_are_refused_with_a_mapping_to_copy() -> None:
    table = example_table(source((1, {"foo": "a", "bar": "b"})))
    assert table.is_guess
    with pytest.raises(Refusal, match=r"has foo, bar.*mapping"):
        table.check_certain()


def test_a_mapping_without_an_input_completes_what_is_recognised() -> None:
    row: dict[str, object] = {"question": "a", "answer": "b", "stars": 4}
    mapping = ColumnMapping("", columns={"rating": "stars"})
    ((_, example),) = example_table(source((1, row)), mapping)
    assert not isinstance(example, BadRow)
    assert (example.input, example.reference, example.columns) == ("a", "b", {"rating": 4})
