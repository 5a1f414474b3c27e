"""Rows become examples, each bad one is named, and a preview shows both beforehand."""

import pytest

from storage.errors import Refusal
from storage.exchange.columns import BadRow
from storage.exchange.example_table import NumberedRow, examples_of, preview_of
from storage.exchange.mapping import ColumnMapping

ROWS: list[NumberedRow] = [
    (1, {"question": "a", "answer": "b"}),
    (2, {"answer": "b"}),
    (3, "it is no JSON"),
    (4, {"question": "c"}),
]


@pytest.mark.parametrize("mapping", [None, ColumnMapping("question", "answer")])
def test_a_bad_row_is_named_and_costs_itself_alone(mapping: ColumnMapping | None) -> None:
    results = dict(examples_of(ROWS, mapping))
    bad = {row.number: row.reason for row in results.values() if isinstance(row, BadRow)}
    assert list(results) == [1, 2, 3, 4]
    assert list(bad) == [2, 3]
    assert "input" in bad[2]
    assert bad[3] == "it is no JSON"


def test_a_preview_shows_the_shape_the_columns_and_what_would_fail() -> None:
    preview = preview_of(ROWS, most=1)
    assert (preview.shape, preview.columns) == ("columns with usual names", ("question", "answer"))
    assert [example.input for example in preview.examples] == ["a"]
    assert [row.number for row in preview.bad_rows] == [2]
    assert (preview.good_count, preview.bad_count, preview.without_reference) == (2, 2, 1)


def test_columns_that_are_not_recognised_are_refused_with_a_mapping_to_copy() -> None:
    with pytest.raises(Refusal, match=r"has foo, bar.*mapping"):
        list(examples_of([(1, {"foo": "a", "bar": "b"})]))
