"""Tables of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import TaskOutput, TaskOutputRating, TaskRun
from storage.exchange import TableFormat, UnusableTable, parse_runs, runs_as_table

_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1
).filter(str.strip)
_forms = st.sampled_from(["jsonl", "csv"])


@given(_text, _text, st.integers(1, 5), _forms)
def test_what_is_exported_is_imported_again(
    given_input: str, output: str, stars: int, form: TableFormat
) -> None:
    answer = TaskOutput(output=output, rating=TaskOutputRating(value=stars))
    run = TaskRun(input=given_input, output=answer, tags=("a", "b"))
    parsed = parse_runs(runs_as_table([run, run], form).encode(), form, "t")
    assert parsed.bad_rows == ()
    for back in parsed.runs:
        assert (back.input, back.output.output, back.tags) == (given_input, output, ("a", "b"))
        assert back.output.rating is not None
        assert back.output.rating.value == stars


def test_bad_rows_are_named_one_by_one_and_the_good_ones_kept() -> None:
    lines = [
        '{"input": "1", "output": "one", "tags": ["x"]}',
        '{"input": "2"',
        '{"input": "", "output": "x"}',
        "[1]",
        '{"input": "5", "output": "five", "rating": 9}',
        '{"input": "6", "output": "six", "tags": ["a b"]}',
        '{"input": {"q": 7}, "output": "seven"}',
    ]
    parsed = parse_runs("\n".join(lines).encode(), "jsonl", "runs.jsonl")
    assert [run.input for run in parsed.runs] == ["1", '{"q": 7}']
    assert [row.number for row in parsed.bad_rows] == [2, 3, 4, 5, 6]
    reasons = [row.reason for row in parsed.bad_rows]
    assert "no JSON" in reasons[0]
    assert reasons[1] == "its input is empty"
    assert "from 1 to 5" in reasons[3]
    assert "has a space" in reasons[4]


def test_a_spreadsheets_csv_with_a_mark_and_a_long_row_is_read() -> None:
    content = "\ufeffinput,output,tags\nhi,hello,a;b\nx,y,z,too,many\nq,r,\n".encode()
    parsed = parse_runs(content, "csv", "t.csv")
    assert [run.tags for run in parsed.runs] == [("a", "b"), ()]
    assert [row.number for row in parsed.bad_rows] == [3]


def test_a_table_without_the_needed_columns_is_refused_whole() -> None:
    with pytest.raises(UnusableTable, match="no column output"):
        parse_runs(b"input,answer\n1,2\n", "csv", "t.csv")
    with pytest.raises(UnusableTable, match="not UTF-8"):
        parse_runs(b"\xff\xfe", "csv", "t.csv")
