"""Tables of runs."""

import contextlib
import csv
import importlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import (
    DataSource,
    RequirementRating,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
    TraceMessage,
    Usage,
)
from storage.errors import Refusal
from storage.exchange import (
    COLUMNS,
    BadRow,
    example_table,
    new_run_table,
    source_of,
)
from table_items import records_of

_FORMS = [
    "jsonl",
    "csv",
    pytest.param("parquet", marks=pytest.mark.parquet),
]
_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_words = _text.filter(str.strip)
_tag = _text.filter(lambda tag: not any(character.isspace() for character in tag))


def _read(content: str | bytes, name: str) -> tuple[list[TaskRun], dict[int, str]]:
    content_bytes = content.encode() if isinstance(content, str) else content
    with source_of(content_bytes, name) as source:
        rows = records_of(source)
    bad = {number: row.reason for number, row in rows if isinstance(row, BadRow)}
    records = [row.record.record for _, row in rows if not isinstance(row, BadRow)]
    return [record for record in records if isinstance(record, TaskRun)], bad


def _unused(content: bytes, name: str) -> list[str]:
    with source_of(content, name) as source:
        return example_table(source).unused_columns


def _written(runs: Sequence[TaskRun], form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"table.{form}"
        with new_run_table(file, of=Path(folder, "p")) as table:
            for run in runs:
                table.add([run])
        return file.read_bytes()


def _meaning(run: TaskRun) -> object:
    """Return what a table carries of a run."""
    rating, repaired = run.output.rating, run.repaired_output
    return (
        (run.created_at, run.created_by, run.input, run.output.output, run.tags),
        (repaired.output if repaired else None, run.repair_instructions),
        (rating.value, rating.type, rating.requirement_ratings) if rating else None,
        run.intermediate_outputs,
        run.usage.cost if run.usage else None,
        run.trace,
    )


@st.composite
def _runs(draw: st.DrawFn) -> TaskRun:
    scale = draw(st.sampled_from(["five_star", "pass_fail", "pass_fail_critical"]))
    value = draw(st.integers(0, 1)) if scale.startswith("pass") else draw(st.integers(1, 5))
    scores = {f"named::{name}": RequirementRating(value=1) for name in draw(st.lists(_text))}
    rating = TaskOutputRating.model_validate(
        {"value": value, "type": scale, "requirement_ratings": scores}
    )
    moment = draw(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
    repaired = draw(st.none() | _words)
    reasoning = draw(st.none() | _words)
    cost = draw(st.none() | st.floats(0, allow_infinity=False, allow_nan=False))
    trace = [TraceMessage(role="user", content={"a": [draw(_text), 1.5, None]})]
    return TaskRun(
        created_at=moment.replace(tzinfo=UTC),
        created_by=draw(_words),
        input=draw(_words),
        output=TaskOutput(output=draw(_words), rating=draw(st.none() | st.just(rating))),
        repaired_output=TaskOutput(output=repaired) if repaired else None,
        repair_instructions=draw(_words) if repaired else None,
        tags=tuple(draw(st.lists(_tag, max_size=3, unique=True))),
        intermediate_outputs={"reasoning": reasoning} if reasoning else None,
        usage=Usage(cost=cost) if cost is not None else None,
        trace=tuple(trace) if draw(st.booleans()) else None,
    )


@pytest.mark.parametrize("form", _FORMS)
@given(runs=st.lists(_runs(), min_size=1, max_size=4))
def test_what_is_exported_is_imported_again(form: str, runs: list[TaskRun]) -> None:
    back, bad = _read(_written(runs, form), f"table.{form}")
    assert bad == {}
    assert [_meaning(run) for run in back] == [_meaning(run) for run in runs]
    assert {run.id for run in back}.isdisjoint(run.id for run in runs)


@pytest.mark.parametrize("form", _FORMS)
def test_the_model_that_answered_is_carried(form: str) -> None:
    source = DataSource(
        type="synthetic",
        properties={"model_name": "gpt", "model_provider": "openai", "adapter_name": "a"},
    )
    run = TaskRun(input="i", output=TaskOutput(output="o", source=source))
    (back,), _ = _read(_written([run], form), f"t.{form}")
    assert back.output.source is not None
    assert back.output.source.type == "synthetic"
    assert back.output.source.properties["model_name"] == "gpt"


@given(_text)
def test_no_cell_of_an_exported_csv_is_a_formula(text: str) -> None:
    run = TaskRun(input=text, output=TaskOutput(output=f"={text}"), tags=("=1+1",))
    rows = list(csv.reader(io.StringIO(_written([run], "csv").decode(), newline="")))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in rows[1])


def test_a_quote_before_a_sign_in_somebody_elses_csv_is_theirs() -> None:
    (run,), _ = _read("input,output\n'=x,-5\n", "t.csv")
    assert (run.input, run.output.output) == ("'=x", "-5")


def test_bad_rows_are_named_one_by_one_and_the_good_ones_kept() -> None:
    lines = [
        '{"input": "1", "output": "one", "tags": ["x"]}',
        '{"input": "2"',
        '{"input": "", "output": "x"}',
        "[1]",
        '{"input": "5", "output": "five", "rating": 9}',
        '{"input": "6", "output": "six", "tags": ["a b"]}',
        '{"input": {"q": 7}, "output": "seven"}',
        '{"prompt": "8", "output": "eight"}',
        '{"input": "9", "output": "nine", "cost_usd": NaN}',
        '{"input": "\\ud800", "output": "ten"}',
        '{"input": "11", "output": "eleven", "created_at": "yesterday"}',
        '{"input": "12", "output": "twelve", "repaired": "x"}',
        '{"input": "13", "output": "thirteen", "trace": "{"}',
        '{"input": "14", "output": "fourteen", "cost_usd": 1e999}',
        '{"input": "15", "output": "fifteen", "rating": "good"}',
        '{"input": "16", "output": "sixteen", "rating": 1, "rating_type": "stars"}',
        "",
        f'{{"input": {"[" * 100_000}',
    ]
    runs, bad = _read("\n".join(lines), "runs.jsonl")
    assert [run.input for run in runs] == ["1", "6", '{"q": 7}', "8"]
    assert runs[1].tags == ("a_b",)
    reasons = {
        2: "no JSON",
        3: "its input is empty",
        4: "no object",
        5: "from 1 to 5",
        9: "NaN",
        10: "a lone surrogate",
        11: "its created_at cannot be used: it is no date and time: 'yesterday'",
        12: "come together",
        13: "its trace is no JSON",
        14: "too large",
        15: "its rating cannot be used: it is no number: 'good'",
        16: "its rating_type cannot be used: it is none of 'five_star', 'pass_fail', ",
        18: "too deep",
    }
    assert bad.keys() == reasons.keys()
    for number, reason in reasons.items():
        assert reason in bad[number]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('"tags": {"x": 1}', "its tags cannot be used: {'x': 1} is no text"),
        ('"tags": ["a", null]', "its tags cannot be used: None is no text"),
        ('"tags": false', "its tags cannot be used: False is no text"),
        ('"rating": true', "its rating cannot be used: it is no number: True"),
        ('"score_ratings": {"named::x": true}', "its score_ratings cannot be used"),
        ('"score_ratings": {"named::x": {"value": false}}', "its score_ratings cannot be used"),
        ('"input": "c"', "it has the key 'input' more than once"),
        ('"trace": [{"role": "user", "role": "system"}]', "it has the key 'role' more than once"),
    ],
)
def test_what_would_become_something_else_is_refused_in_its_row(more: str, reason: str) -> None:
    runs, bad = _read(
        f'{{"input": "a", "output": "b", {more}}}\n{{"input": "b", "output": "c", "tags": [1]}}',
        "t.jsonl",
    )
    assert [(run.input, run.tags) for run in runs] == [("b", ("1",))]
    assert reason in bad[1]


def test_unknown_columns_of_one_name_are_all_named() -> None:
    content = b"input,output,a,a\n1,2,3,4\n"
    runs, _ = _read(content, "t.csv")
    assert [run.input for run in runs] == ["1"]
    assert _unused(content, "t.csv") == ["a", "a (2)"]


@pytest.mark.parametrize("after", ["", '"q, z",p\n', 'q,"r\ns"\n', '"q""",p\n', "z\n"])
@pytest.mark.parametrize("broken", ['"broken,y', 'broken,"y'])
def test_a_quote_that_is_not_closed_costs_its_own_row_alone(broken: str, after: str) -> None:
    good = [f"g{n}" for n in range(100)]
    content = f"input,output\nfirst,y\n{broken}\n" + "".join(f"{one},y\n" for one in good)
    runs, bad = _read(content + after + "last,y\n", "t.csv")
    assert [run.input for run in runs if run.input not in {"q, z", "q", 'q"'}] == [
        *("first", *good, "last")
    ]
    assert bad[3] == "it is no CSV (a quote in it is not closed)"
    assert bad.keys() - {3} == ({104} if after == "z\n" else set())


@pytest.mark.parametrize(
    ("cell", "last"),
    [
        ('"Dear all, hello\nThis, is text\nand "this", end",out\n', 5),
        ('"He wrote\n\nsome, text\nand "more" of it",out\n', 6),
    ],
)
def test_lines_of_a_broken_cell_are_no_rows_and_it_is_said_which_were_not_read(
    cell: str, last: int
) -> None:
    runs, bad = _read(f"input,output\na,b\n{cell}c,d\n", "t.csv")
    assert [run.input for run in runs] == ["a", "c"]
    assert bad.keys() == {3}
    assert bad[3].endswith(f"; lines 3 to {last} of the file could not be read")


def test_lines_that_look_like_rows_in_a_cell_that_is_closed_stay_in_it() -> None:
    cell = "a,b,c\n" + "d,e,f\n" * 20
    runs, bad = _read(f'input,output,tags\n"{cell}",out\nlast,y,\n', "t.csv")
    assert [run.input for run in runs] == [cell, "last"]
    assert not bad


def test_a_quote_that_is_closed_by_another_open_one_costs_their_rows_alone() -> None:
    lines = ['"broken,y', *("a,b" for _ in range(20)), 'c,broken"', "last,y"]
    runs, bad = _read("\n".join(["input,output", *lines]), "t.csv")
    assert [run.input for run in runs] == ["a"] * 20 + ["c", "last"]
    assert bad.keys() == {2}


def test_quotes_that_are_not_closed_again_and_again_cannot_cost_the_square_of_the_lines() -> None:
    lines = (['x","a'] + ["a,b"] * 10) * 1_000
    runs, bad = _read("\n".join(["input,output", *lines]), "t.csv")
    assert 100 <= len(runs) <= 300
    assert list(bad.values())[-1].endswith("to 11001 of the file could not be read")


def test_a_cell_that_the_end_of_the_file_cuts_is_no_row_and_neither_are_its_lines() -> None:
    runs, bad = _read('sep=,\ninput,output\na,b\n"Dear all,\nthis is\ntext', "t.csv")
    assert [run.input for run in runs] == ["a"]
    assert bad[4].endswith("lines 4 to 6 of the file could not be read")


_ROWS = ["input,output", *("a,b" for _ in range(20))]


@pytest.mark.parametrize(
    ("content", "name", "bad_row"),
    [
        (b'{"input":"a","output":"b"}\n{"input":"\xe9","output":"b"}\n', "t.jsonl", 2),
        ('{"input":"é","output":"b"}\n'.encode() * 3 + b'{"input":"\xff"}\n', "t.jsonl", 4),
        (b'[{"input":"a","output":"b"},{"input":"\xe9","output":"b"}]', "t.json", 2),
        (b"input,output\na,b\n\xe9,b\n", "t.csv", 3),
        ("\n".join([*_ROWS, "é,b"]).encode("latin-1"), "t.csv", 22),
    ],
)
def test_a_byte_that_is_no_text_costs_its_own_row_alone(
    content: bytes, name: str, bad_row: int
) -> None:
    runs, bad = _read(content, name)
    assert runs
    assert bad.keys() == {bad_row}
    assert bad[bad_row].startswith("it holds a byte that is no UTF-8 (0x")


def test_a_byte_that_is_no_text_in_the_name_of_a_column_costs_nothing() -> None:
    content = "input,output,né\n1,2,3\n4,5,6\n".encode("latin-1")
    runs, _ = _read(content, "t.csv")
    assert [run.input for run in runs] == ["1", "4"]
    assert _unused(content, "t.csv") == ["n\ufffd"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_save_is_read(encoding: str, delimiter: str, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows(
        [[" Input", "OUTPUT", "Tags", "mine"], ["é", 'say "a;b,c"\nand on', "a;b", "x"], [], ["1"]]
    )
    writer.writerows([["q", "r", "", ""], ["s", "t", "", "", "", ""], ["u", "v", "w", "x", "y"]])
    content = out.getvalue().encode(encoding)
    runs, bad_rows = _read(content, "t.csv")
    bad = list(bad_rows)
    assert [(run.input, run.tags) for run in runs] == [("é", ("a", "b")), ("q", ()), ("s", ())]
    assert runs[0].output.output == 'say "a;b,c"\nand on'
    assert bad == [5, 8]
    assert _unused(content, "t.csv") == ["mine"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_wide_text_of_any_language_is_read_with_a_mark_or_without(encoding: str) -> None:
    text = "имя,Input,output\n" + "мир,привет,здравствуйте\n" * 50
    runs, bad = _read(text.encode(encoding), "t.csv")
    assert ({run.input for run in runs}, len(runs), bad) == ({"привет"}, 50, {})


def test_a_declared_separator_huge_fields_and_broken_quotes_are_coped_with() -> None:
    huge = "x" * 5_000_000
    runs, bad = _read(f'sep=;\ninput;output\n"a"b;c\n{huge};d\n\0;e\n"open;f\n', "t.csv")
    assert [run.input for run in runs] == [huge, "\0"]
    assert bad.keys() == {3, 6}


def test_a_list_of_objects_is_read_like_lines() -> None:
    content = json.dumps([{"input": "a", "output": "b"}, 3, {"output": "c"}], indent=2)
    runs, bad = _read(content, "t.json")
    assert ([run.input for run in runs], list(bad)) == (["a"], [2, 3])


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"input,output,Input\n1,2,3\n", "t.csv", "the column input more than once"),
        (b"", "t.csv", "is empty"),
        (b"\xef\xbb\xbf \n", "t.jsonl", "is empty"),
        (b"PK\x03\x04\x14\0\x06\xff\xfe\xfd", "t.csv", "no spreadsheet that can be read"),
        ("input,output\n1,2\n".encode("utf-16") + b"x", "t.csv", "is not utf-16 text"),
        (b"[1, 2", "t.json", "no list of JSON objects"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_whole(
    content: bytes, name: str, reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        _read(content, name)


def test_a_file_that_is_no_table_is_named_so() -> None:
    with pytest.raises(Refusal, match="has the ending of no table"):
        _read(b"x", "book.docx")


@given(st.binary(max_size=300), st.sampled_from(["t.csv", "t.jsonl", "t.json"]))
def test_garbage_is_refused_or_named_and_never_breaks_anything(content: bytes, name: str) -> None:
    prefix = b"input,output\n" if name == "t.csv" else b""
    with contextlib.suppress(Refusal):
        _read(prefix + content, name)


def test_a_table_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "new" / "t.csv"

    def fail() -> None:
        with new_run_table(file, of=tmp_path / "p") as table:
            table.add([TaskRun(input="i", output=TaskOutput(output="o"))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(file.parent.iterdir()) == []
    file.write_text("theirs", encoding="utf-8")
    with pytest.raises(Refusal, match="exists already"), new_run_table(file, of=tmp_path / "p"):
        pass
    with (
        pytest.raises(Refusal, match="has the ending of no table"),
        new_run_table(tmp_path / "t.xlsx", of=tmp_path / "p"),
    ):
        pass


@pytest.mark.parquet
@given(st.binary(max_size=300))
def test_garbage_is_no_parquet(content: bytes) -> None:
    with pytest.raises(Refusal, match="no parquet"):
        _read(b"PAR1" + content + b"PAR1", "t.parquet")


@pytest.mark.parquet
def test_parquet_has_types_that_other_programs_know_and_takes_theirs() -> None:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    run = TaskRun(input="i", output=TaskOutput(output="o"), tags=("a", "b"))
    schema = parquet.read_schema(io.BytesIO(_written([run], "parquet")))
    assert {name: str(schema.field(name).type) for name in COLUMNS} == {
        **dict.fromkeys(COLUMNS, "string"),
        "created_at": "timestamp[us, tz=UTC]",
        "tags": "list<element: string>",
        "rating": "double",
        "cost_usd": "double",
    }
    theirs = arrow.table(
        {
            "Input": [{"q": 1}, {"q": 2}],
            "output": arrow.array(["x", None], arrow.large_string()),
            "rating": [float("nan"), 2.0],
            "created_at": arrow.array([10**18 + 1, None], arrow.timestamp("ns", tz="Europe/Paris")),
            "blob": [b"1", b"2"],
        }
    )
    out = io.BytesIO()
    parquet.write_table(theirs, out)
    (back,), bad = _read(out.getvalue(), "t.parquet")
    assert (back.input, back.output.rating) == ('{"q": 1}', None)
    assert back.created_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert bad == {2: "its output is empty"}


_WITHOUT_PARQUET = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from storage.errors import Refusal
from storage.exchange import new_run_table, source_of
new = new_run_table(Path("t.parquet"), of=Path("p"))
def read():
    with source_of(b"x", "t.parquet") as source:
        list(source.rows())
for use in (read, new.__enter__):
    try:
        use()
    except Refusal as error:
        print(error)
"""


def test_without_its_library_parquet_says_how_to_install_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT_PARQUET]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("pip install 'kiln-mcp-server[parquet]'") == 2
    assert list(tmp_path.iterdir()) == []
