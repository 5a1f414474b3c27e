"""Files of many kinds, at the door that people use: each gives its two items."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import Task, TaskRun
from storage.errors import WorkbenchError
from table_files import ENCODINGS, ITEMS, PLAIN, SHAPES, SQUAD, Content, bomb, table, workbook

FILES = {**ENCODINGS, **SHAPES}


async def add(
    workspace: Workspace, folder: Path, name: str, content: bytes, **more: JsonValue
) -> Mapping[str, JsonValue]:
    await anyio.Path(folder / name).write_bytes(content)
    call = {"project": "P", "file": str(folder / name), **more}
    return await installed_catalogue().perform(workspace, "add_data", call)


async def pairs(workspace: Workspace) -> list[tuple[str, str]]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return sorted((run.input, run.output.output) for run in await store.children(task, TaskRun))


@pytest.mark.parametrize("name", FILES)
async def test_a_file_of_any_kind_gives_its_items(
    name: str, workspace: Workspace, tmp_path: Path
) -> None:
    file_name = "lines.json" if name == "lines as .json" else name
    report = await add(workspace, tmp_path, file_name, FILES[name]())
    expected = PLAIN if name == "old mac.csv" else ITEMS
    assert await pairs(workspace) == sorted(expected)
    assert (report["new_items"], report["bad_row_count"], report["already_there"]) == (2, 0, 0)
    again = await add(workspace, tmp_path, file_name, FILES[name]())
    assert (again["new_items"], again["already_there"]) == (0, 2)


async def test_results_of_promptfoo_are_what_a_model_said_with_its_grade(
    workspace: Workspace, tmp_path: Path
) -> None:
    broken = {"vars": {"q": "x"}, "provider": "openai:gpt-4o", "error": "429 Too Many Requests"}
    content = FILES["promptfoo results.jsonl"]() + json.dumps(broken).encode()
    report = await add(workspace, tmp_path, "out.jsonl", content)
    assert report["shape"] == "promptfoo results"
    assert "3: the provider gave no answer: 429 Too Many Requests" in str(report["bad_rows"])
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    (run, _) = sorted(await store.children(task, TaskRun), key=lambda run: run.input, reverse=True)
    assert run.usage is not None
    assert (run.usage.total_tokens, run.usage.total_llm_latency_ms) == (12, 250)
    assert run.output.source is not None
    properties = run.output.source.properties
    assert (properties["model_name"], properties["model_provider"]) == ("gpt-4o", "openai")
    assert (properties["promptfoo_pass"], properties["promptfoo_reason"]) == ("true", "as asked")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: &a [*a]\n", "nested too deep"),
        (b"a: [1\n", "no YAML that can be read"),
        (b"!!python/object/apply:os.system ['id']\n", "no YAML that can be read"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10))
                for n in range(8)
            ),
            "its aliases stand for more than",
        ),
    ],
)
async def test_yaml_that_runs_code_or_never_ends_is_refused(
    content: bytes, reason: str, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        await add(workspace, tmp_path, "tests.yaml", content)


async def test_a_merged_cell_counts_for_all_its_rows_and_no_others(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [("input", "output", "tags"), ("a", "1", "x"), ("b", "2", None), ("c", "3", None),
            ("d", "4", "y"), ("e", "5", None)]  # fmt: skip
    content = workbook(rows, merged=("C2:C3", "C5:C6"))()
    await add(workspace, tmp_path, "book.xlsx", content)
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    runs = await store.children(task, TaskRun)
    tags = {run.input: run.tags for run in runs}
    assert tags == {"a": ("x",), "b": ("x",), "c": (), "d": ("y",), "e": ("y",)}


async def test_a_squad_document_gives_a_question_with_its_context(
    workspace: Workspace, tmp_path: Path
) -> None:
    await add(workspace, tmp_path, "dev-v2.0.json", SQUAD())
    assert await pairs(workspace) == [
        ("Where\n\nis Oslo?", "In Norway"), ("Where\n\nis Rome?", "In Italy")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Où est le café à Besançon? Übrigens schön"),
        ("cp1251", "Где находится столица Норвегии и как туда доехать"),
        ("shift_jis", "東京はどこにありますか。日本の首都です。"),
        ("gb18030", "请问挪威的首都在哪里。它是一个什么样的城市。"),
    ],
)
async def test_a_text_without_unicode_is_decoded_and_its_encoding_said(
    encoding: str, text: str, workspace: Workspace, tmp_path: Path
) -> None:
    items = [(f"{text} {number}", text) for number in range(8)]
    report = await add(workspace, tmp_path, "old.csv", table(items=items, encoding=encoding)())
    assert report["encoding"] is not None
    assert await pairs(workspace) == sorted(items)


async def test_an_encoding_that_is_named_reads_what_a_few_bytes_do_not_tell(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = table(items=[("Wo?", "Hier"), ("Café?", "Dort")], encoding="cp1252")()
    report = await add(workspace, tmp_path, "old.csv", content)
    assert report["new_items"] == 1
    assert "line 3: it holds a byte that is no UTF-8 (0xe9)" in str(report["bad_rows"])
    report = await add(workspace, tmp_path, "old.csv", content, encoding="windows-1252")
    assert (report["new_items"], report["already_there"]) == (1, 1)


async def test_a_sheet_is_chosen_by_its_name_and_formulas_stay_text(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = workbook(
        [("question", "answer"), ("sum", "=1+1"), ("yes", True), (7, 0.5), ("bad", "#N/A")],
        other="Notes",
    )()
    report = await add(workspace, tmp_path, "book.xlsx", content, sheet="Data")
    assert await pairs(workspace) == [("7", "0.5"), ("sum", "=1+1"), ("yes", "TRUE")]
    assert report["bad_rows"] == ["row 5: its column 'answer' holds the error #N/A"]
    with pytest.raises(WorkbenchError, match=r"no sheet 'Nothing'.*Data, Notes"):
        await add(workspace, tmp_path, "book.xlsx", content, sheet="Nothing")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bomb.xlsx", bomb, "unpacks to more data than is read"),
        ("broken.xlsx", lambda: b"PK\x03\x04 broken", "no spreadsheet that can be read"),
        ("old.xls.csv", lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 600, "save it as .xlsx or CSV"),
        ("broken.csv.gz", lambda: b"\x1f\x8b broken", "cannot be unpacked"),
        ("empty.csv", lambda: b"", "is empty"),
        ("header.csv", lambda: b"input,output\n", "has no row"),
        ("zeros.csv", lambda: b"input\0,output\n\0\0\x01", "holds no text"),
        ("broken.json", lambda: b'[{"input": "a"}, {"input"', "no list of JSON objects"),
        ("wide.csv", lambda: ",".join(f"c{n}" for n in range(2000)).encode(), "2000 columns"),
        ("picture.png", lambda: b"x", "has the ending of no table"),
        ("other.csv", lambda: b"foo,bar,baz\na,b,c\n", "Give a mapping such as"),
        ("secret.txt", lambda: b"export SECRET=1\nx\n", "one column of another name"),
    ],
)
async def test_what_is_no_table_is_refused_with_the_way_out(
    name: str, content: Content, reason: str, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(WorkbenchError, match=reason) as refusal:
        await add(workspace, tmp_path, name, content())
    assert "SECRET" not in str(refusal.value)
    assert await pairs(workspace) == []


async def test_a_row_that_is_too_long_or_too_deep_costs_itself_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    deep = "[" * 200 + "]" * 200
    rows = ['{"input": "a", "output": "b"}', f'{{"input": {deep}, "output": "b"}}',
            f'{{"input": "{"x" * (33 << 20)}", "output": "b"}}', '{"input": "c", "output": "d"}',
            f'{{"input": {"[" * 100_000}']  # fmt: skip
    report = await add(workspace, tmp_path, "rows.jsonl", "\n".join(rows).encode())
    assert await pairs(workspace) == [("a", "b"), ("c", "d")]
    reasons = [str(reason) for reason in report["bad_rows"]]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable, reportUnknownVariableType, reportUnknownArgumentType]
    assert [reason.partition(":")[0] for reason in reasons] == ["line 2", "line 3", "line 5"]
    huge = f"input,output\na,b\n{'x' * (9 << 20)},y\ne,f\n".encode()
    report = await add(workspace, tmp_path, "cells.csv", huge)
    assert (report["new_items"], report["bad_row_count"]) == (1, 1)


async def test_a_title_above_the_names_of_the_columns_is_passed_over(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [("Our test cases",), (), ("Topic", "Question", "Answer"), ("geo", "Wo?", "Hier")]
    await add(workspace, tmp_path, "title.xlsx", workbook(rows, other="Notes")(), sheet="Data")
    assert await pairs(workspace) == [("Wo?", "Hier")]
    text = b"Our test cases,,\r\n,,\r\nTopic,Question,Answer\r\ngeo,Wer?,Ich\r\ngeo,Was?\r\n"
    report = await add(workspace, tmp_path, "title.csv", text)
    assert await pairs(workspace) == [("Wer?", "Ich"), ("Wo?", "Hier")]
    assert report["bad_rows"] == ["line 5: its output is empty, and other rows have one"]


async def test_a_sheet_without_rows_is_refused_with_the_names_of_the_others(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = workbook([("Read me",)], other="Cases")()
    with pytest.raises(WorkbenchError, match=r"'Data' has no row.*name another sheet: Cases"):
        await add(workspace, tmp_path, "book.xlsx", content, sheet="Data")


async def test_a_column_that_may_hold_the_outputs_is_asked_about(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = b"question,my_answer_text,number\nWo?,Hier,7\nWer?,Ich,8\n"
    with pytest.raises(WorkbenchError, match='"output": "my_answer_text"'):
        await add(workspace, tmp_path, "cases.csv", content)
    report = await add(workspace, tmp_path, "cases.csv", b"question,number\nWo?,7\n", preview=True)
    assert report["columns_not_used"] == ["number"]


async def test_a_truncated_answer_stays_one_when_a_table_of_ours_is_read(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = b"input,output,model,tags\nWo?,Hie,gpt-4o,answer_truncated\n"
    await add(workspace, tmp_path, "runs.csv", content)
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    (run,) = await store.children(task, TaskRun)
    assert (run.answer_state, run.is_usable) == ("truncated", False)


async def test_an_output_that_the_dataset_has_otherwise_leads_to_its_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    await add(workspace, tmp_path, "a.csv", b"input,output\nWo?,Hier\n")
    choices: list[dict[str, JsonValue]] = [{}, {"contradictions": "first"}]
    for more in choices:
        report = await add(workspace, tmp_path, "b.csv", b"input,output\nWo?,Dort\n", **more)
        steps = cast("list[dict[str, str]]", report["next"])
        assert [step["tool"] for step in steps] == ["mark_runs", "split_data"]


async def test_cells_of_langfuse_that_are_text_of_json_lose_their_quotes(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = b'"id","input","expectedOutput"\n"""i1""","""Wo \\""genau\\""?""","""Hier"""\n'
    await add(workspace, tmp_path, "items.csv", content)
    content = b'input,output\n"""Wer?""","""Ich"""\n'
    await add(workspace, tmp_path, "quotes.csv", content)
    assert await pairs(workspace) == [('"Wer?"', '"Ich"'), ('Wo "genau"?', "Hier")]
