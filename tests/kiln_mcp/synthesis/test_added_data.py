"""What adding data saves, leaves out and says, at the door that people use."""

import json
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalInput, Task, TaskRun
from storage.errors import WorkbenchError

CITY: JsonValue = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
    "required": ["city"],
}
Answer = Mapping[str, JsonValue]


async def call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> Answer:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def add(
    workspace: Workspace, folder: Path, name: str, content: str, **more: JsonValue
) -> Answer:
    await anyio.Path(folder / name).write_bytes(content.encode())
    call_more = {"project": "P", "task": "Answer", **more}
    return await call(workspace, "add_data", file=str(folder / name), **call_more)


async def task_with(workspace: Workspace, **schemas: JsonValue) -> None:
    await call(workspace, "create_project", project="P", task="S", instruction="Do.", **schemas)


async def runs(workspace: Workspace, task_name: str = "Answer") -> list[TaskRun]:
    store = await workspace.open_project("P")
    (task,) = [one for one in await store.children(store.project, Task) if one.name == task_name]
    return sorted(await store.children(task, TaskRun), key=lambda run: run.input)


async def texts(workspace: Workspace, task_name: str = "Answer") -> list[tuple[str, str]]:
    return [(run.input, run.output.output) for run in await runs(workspace, task_name)]


async def inputs(workspace: Workspace) -> list[EvalInput]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return await store.children(task, EvalInput)


def bad(report: Answer) -> list[str]:
    rows = report["bad_rows"]
    assert isinstance(rows, list)
    return [str(row) for row in rows]


# ------------------------------------------------------------ files that failed


async def test_the_ascii_row_of_a_latin_file_goes_in_and_the_other_is_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = b"input,output\r\nWhat time?,Nine\r\nWhere is the caf\xe9?,By the Seine\r\n"
    await anyio.Path(tmp_path / "l.csv").write_bytes(content)
    report = await call(workspace, "add_data", project="P", file=str(tmp_path / "l.csv"))
    assert await texts(workspace) == [("What time?", "Nine")]
    assert len(bad(report)) == 1
    assert bad(report)[0].startswith("line 3: it holds a byte that is no UTF-8 (0xe9)")


async def test_separators_of_lines_in_a_text_split_no_row(
    workspace: Workspace, tmp_path: Path
) -> None:
    words = ["a\u2028b", "c\u2029d", "e\x85f", "plain"]
    rows = "".join(json.dumps({"input": word, "output": word}, ensure_ascii=False) + "\n"
                   for word in words)  # fmt: skip
    await add(workspace, tmp_path, "lines.jsonl", rows)
    assert await texts(workspace) == sorted((word, word) for word in words)
    out = tmp_path / "out.jsonl"
    await call(workspace, "export", project="P", file=str(out))
    assert len((await anyio.Path(out).read_text("utf-8")).splitlines()) == 4


@pytest.mark.parametrize("schema", [None, CITY])
async def test_numbers_that_json_lacks_are_bad_rows_and_long_ones_are_kept(
    schema: JsonValue, workspace: Workspace, tmp_path: Path
) -> None:
    await task_with(workspace, **({"output_schema": schema} if schema else {}))
    rows = [
        '{"input": "long", "output": {"city": "Oslo", "zip": 12345678901234567890123}}',
        '{"input": "NaN", "output": {"city": "Oslo", "zip": NaN}}',
        '{"input": "inf", "output": {"city": "Oslo", "zip": -Infinity}}',
        '{"input": "large", "output": {"city": "Oslo", "zip": 1e400}}',
        '{"input": "cell", "output": "{\\"city\\": \\"Oslo\\", \\"zip\\": 1e400}"}',
    ]
    report = await add(workspace, tmp_path, "n.jsonl", "\n".join(rows), task="S")
    found = dict(await texts(workspace, "S"))
    assert found["long"] == '{"city": "Oslo", "zip": 12345678901234567890123}'
    assert set(found) == ({"long"} if schema else {"long", "cell"})
    assert len(bad(report)) == (4 if schema else 3)
    assert "line 4: it is no JSON (the number 1e400 is too large)" in bad(report)


async def test_leading_zeros_and_words_in_a_table_stay_text(
    workspace: Workspace, tmp_path: Path
) -> None:
    await add(workspace, tmp_path, "z.csv", 'input,output\n00123,0007\n1e5,TRUE\n"1,5",null\n')
    assert await texts(workspace) == [("00123", "0007"), ("1,5", "null"), ("1e5", "TRUE")]


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("bad.csv", 'input,output\nb1,ok\nb2,\nb3,ok,extra\n"b4 unclosed,ok\nb5,ok\nb6,ok\n',
         ["line 3", "line 4", "line 5"]),
        ("bad.jsonl", '{"input":"r1","output":"ok"}\n{"input":"r2"}\n{"input":"r3","output":""}\n'
         'not json\n{"input":"r5","output":"ok"}\n', ["line 2", "line 3", "line 4"]),
    ],
)  # fmt: skip
async def test_each_bad_row_is_named_by_its_line_and_the_good_ones_go_in(
    name: str, content: str, places: list[str], workspace: Workspace, tmp_path: Path
) -> None:
    report = await add(workspace, tmp_path, name, content)
    assert [reason.partition(":")[0] for reason in bad(report)] == places
    assert len(await texts(workspace)) == report["new_items"]
    assert {text for text, _ in await texts(workspace)} <= {"b1", "b5", "b6", "r1", "r5"}


# ------------------------------------------------------------ mappings


ODD = 'Kunde,Titel,Antwort,Thema\nHallo,Gruß,Guten Tag,"a, b c"\nTschüss,Ende,Bis bald,\n'


async def test_a_preview_names_the_columns_and_guesses_a_mapping_and_saves_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    report = await add(workspace, tmp_path, "odd.csv", ODD, preview=True)
    assert (report["is_preview"], report["is_guess"]) == (True, True)
    assert report["columns"] == ["Kunde", "Titel", "Antwort", "Thema"]
    assert report["mapping"] == {"input": "Kunde"}
    assert await texts(workspace) == []
    with pytest.raises(WorkbenchError, match=r'Give a mapping such as \{"input": "Kunde"\}'):
        await add(workspace, tmp_path, "odd.csv", ODD)
    mapping: JsonValue = {"input": "{{Titel}}: {{Kunde}}", "output": "antwort", "tags": "Thema"}
    report = await add(workspace, tmp_path, "odd.csv", ODD, preview=True, mapping=mapping)
    assert report["new_items"] == 2
    assert report["first_items"] == [
        {"input": "Gruß: Hallo", "output": "Guten Tag", "is_answer": False, "tags": ["a", "b_c"]},
        {"input": "Ende: Tschüss", "output": "Bis bald", "is_answer": False},
    ]
    assert await texts(workspace) == []
    await add(workspace, tmp_path, "odd.csv", ODD, mapping=mapping)
    assert await texts(workspace) == [("Ende: Tschüss", "Bis bald"), ("Gruß: Hallo", "Guten Tag")]


async def test_the_mapping_of_a_preview_can_be_given_back(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = "Question,Answer,Stars,rating,category,note\na,b,1,5,travel,x\n"
    report = await add(workspace, tmp_path, "q.csv", content, preview=True)
    assert report["columns_not_used"] == ["Stars", "note"]
    mapping = report["mapping"]
    report = await add(workspace, tmp_path, "q.csv", content, mapping=mapping)
    (run,) = await runs(workspace)
    assert run.output.rating is not None
    assert (run.output.rating.value, run.input, run.output.output) == (5, "a", "b")
    assert run.input_source is not None
    assert run.input_source.properties["topic_path"] == "travel"


async def test_paths_lead_into_nested_values_and_into_json_in_cells(
    workspace: Workspace, tmp_path: Path
) -> None:
    row = {"messages": [{"content": "deep"}], "meta": json.dumps({"labels": ["x", "y"]})}
    mapping: JsonValue = {"input": "messages.0.content", "output": "meta.labels[-1]"}
    await add(workspace, tmp_path, "n.jsonl", json.dumps(row), mapping=mapping)
    assert await texts(workspace) == [("deep", "y")]


async def test_columns_become_the_fields_of_a_structured_output(
    workspace: Workspace, tmp_path: Path
) -> None:
    await task_with(workspace, output_schema=CITY)
    content = "text,City,Post code\nTo Oslo,Oslo,0150\nTo Rome,Rome,100\nTo Bonn,Bonn,x\n"
    mapping: JsonValue = {"input": "text", "output.city": "City", "output.zip": "Post code"}
    report = await add(workspace, tmp_path, "c.csv", content, task="S", mapping=mapping)
    assert await texts(workspace, "S") == [("To Rome", '{"city": "Rome", "zip": 100}')]
    assert [reason.partition(":")[0] for reason in bad(report)] == ["line 2", "line 4"]


async def test_an_object_with_one_member_is_its_text_unless_the_task_has_a_schema(
    workspace: Workspace, tmp_path: Path
) -> None:
    schema: JsonValue = {"type": "object", "properties": {"city": {"type": "string"}}}
    await task_with(workspace, output_schema=schema)
    row = json.dumps({"inputs": {"question": "Where?"}, "outputs": {"city": "Oslo"}})
    await add(workspace, tmp_path, "l.jsonl", row)
    await add(workspace, tmp_path, "l.jsonl", row, task="S")
    assert await texts(workspace) == [("Where?", "Oslo")]
    assert await texts(workspace, "S") == [("Where?", '{"city": "Oslo"}')]
    await add(workspace, tmp_path, "p.csv", "question,answer\nWhich?,Rome\n", task="S")
    assert ("Which?", '{"city": "Rome"}') in await texts(workspace, "S")


# ------------------------------------------------------------ references and answers


async def test_inputs_alone_are_items_without_a_reference(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = "question\nWhat time is it, please?\nWhere?\nWhere?\n"
    report = await add(workspace, tmp_path, "q.csv", content, tags=["new"])
    assert (report["new_items"], report["without_output"], report["already_there"]) == (2, 2, 1)
    found = await inputs(workspace)
    assert {one.data.user_message.text for one in found if one.data.type == "single_turn"} == {
        "What time is it, please?", "Where?"
    }  # fmt: skip
    assert all(one.tags == ("new",) for one in found)
    again = await add(workspace, tmp_path, "q.csv", content)
    assert (again["new_items"], again["already_there"]) == (0, 3)
    made = await call(
        workspace,
        "create_evaluator",
        project="P",
        eval="Polite",
        type="contains",
        substring="please",
        test_filter="tag::new",
    )
    assert made["test_items"] == 2


CONTRADICTING = "input,output\na,1\nb,2\na,3\nb,2\n a ,1\nc,4\n"


async def test_several_references_of_an_input_are_listed_to_be_decided(
    workspace: Workspace, tmp_path: Path
) -> None:
    report = await add(workspace, tmp_path, "c.csv", CONTRADICTING)
    assert await texts(workspace) == [("b", "2"), ("c", "4")]
    assert (report["contradicted_rows"], report["already_there"]) == (3, 1)
    assert report["contradictions"] == [
        {"input": "a", "outputs": {"line 2": "1", "line 4": "3", "line 6": "1"}}
    ]
    steps = report["next"]
    assert isinstance(steps, list)
    assert "decide" in str(steps[0])
    decision: JsonValue = [{"input": "a", "output": "3"}]
    await call(workspace, "add_data", project="P", items=decision, author="person")
    assert await texts(workspace) == [("a", "3"), ("b", "2"), ("c", "4")]
    report = await add(workspace, tmp_path, "d.csv", "input,output\na,9\na,3\n")
    assert report["contradictions"] == [
        {"input": "a", "outputs": {"line 2": "9", "line 3": "3", "dataset": "3"}}
    ]


@pytest.mark.parametrize(("rule", "outputs"), [("first", ["1"]), ("all", ["1"]), ("leave_out", [])])
async def test_a_rule_decides_contradictions_at_once(
    rule: str, outputs: list[str], workspace: Workspace, tmp_path: Path
) -> None:
    for _ in range(2):
        await add(workspace, tmp_path, "c.csv", CONTRADICTING, contradictions=rule)
        found = await texts(workspace)
        assert sorted(output for text, output in found if text.strip() == "a") == outputs


async def test_all_right_outputs_of_an_input_are_one_item_and_the_same_file_adds_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = "input,output\na,1\nb,2\na,3\na,1\na,\na,5\n"
    report = await add(workspace, tmp_path, "c.csv", file, contradictions="all")
    assert (report["new_items"], report["merged_rows"]) == (2, 2)
    store = await workspace.open_project("P")
    [task] = await store.children(store.project, Task)
    runs = {run.input: run for run in await store.children(task, TaskRun)}
    assert runs["a"].output.output == "1"
    assert list(runs["a"].other_right_outputs) == ["3", "5"]
    assert not runs["b"].other_right_outputs
    report = await add(workspace, tmp_path, "c.csv", file, contradictions="all")
    assert (report["new_items"], report["contradicted_rows"]) == (0, 0)
    assert "merged_rows" not in report
    report = await add(workspace, tmp_path, "d.csv", "input,output\na,3\n")
    assert (report["new_items"], report["already_there"]) == (0, 1)
    more = "input,output\na,7\na,8\n"
    report = await add(workspace, tmp_path, "e.csv", more, contradictions="all")
    assert (report["new_items"], report["contradicted_rows"]) == (0, 2), "the dataset has one"


async def test_the_order_of_keys_and_the_form_of_letters_make_no_contradiction(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [
        {"input": "x", "output": {"a": 1, "b": 2}},
        {"input": "x", "output": {"b": 2, "a": 1}},
        {"input": "y", "output": "Caf\u00e9"},
        {"input": "y", "output": "Cafe\u0301 "},
    ]
    report = await add(workspace, tmp_path, "o.jsonl", "\n".join(map(json.dumps, rows)))
    assert (report["new_items"], report["already_there"], report["contradicted_rows"]) == (2, 2, 0)


async def test_what_a_model_answered_is_no_reference_and_contradicts_none(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = "id,input,output,model\n1,a,x,gpt\n2,a,y,gpt\n"
    report = await add(workspace, tmp_path, "m.csv", content)
    assert (report["new_items"], report["contradicted_rows"]) == (2, 0)
    report = await add(workspace, tmp_path, "r.csv", "input,output\na,right\n")
    assert (report["new_items"], report["contradicted_rows"]) == (1, 0)
    found = await runs(workspace)
    kinds = {run.output.output: run.output.source.type for run in found if run.output.source}
    assert kinds == {"x": "synthetic", "y": "synthetic", "right": "file_import"}
    again = await add(workspace, tmp_path, "m again.csv", content)
    assert (again["new_items"], again["already_there"]) == (0, 2)


async def test_a_log_of_answers_is_said_to_be_one(workspace: Workspace, tmp_path: Path) -> None:
    content = "question,response\na,x\na,y\na,x\n"
    report = await add(workspace, tmp_path, "log.csv", content, outputs="answers")
    assert report["new_items"] == 3
    again = await add(workspace, tmp_path, "log.csv", content, outputs="answers")
    assert (again["new_items"], again["already_there"]) == (0, 3)


# ------------------------------------------------------------ items of the call


async def test_items_of_a_call_go_the_same_way_as_those_of_a_file(workspace: Workspace) -> None:
    items: JsonValue = [
        {"input": "a", "output": "b", "topic": "t", "tags": ["x"]},
        {"input": "", "output": "b"},
        {"input": "c", "output": "d", "tags": ["two words"]},
        {"input": {"k": 1}, "output": [1, 2]},
    ]
    report = await call(workspace, "add_data", project="P", items=items, tags=["all"])
    assert [reason.partition(":")[0] for reason in bad(report)] == ["item 2"]
    found = {run.input: run for run in await runs(workspace)}
    assert set(found) == {"a", "c", '{"k": 1}'}
    assert set(found["a"].tags) == {"x", "synthetic", "all"}
    assert found["c"].tags == ("two_words", "synthetic", "all")
    assert found['{"k": 1}'].output.output == "[1, 2]"


@pytest.mark.parametrize("arguments", [{}, {"items": [{"input": "a"}], "file": "x.csv"}])
async def test_a_call_gives_either_a_file_or_items(
    arguments: dict[str, JsonValue], workspace: Workspace
) -> None:
    with pytest.raises(WorkbenchError, match="either `file`"):
        await call(workspace, "add_data", project="P", **arguments)


async def test_an_item_with_a_number_that_json_lacks_is_refused(workspace: Workspace) -> None:
    items: JsonValue = [{"input": "a", "output": {"zip": float("inf")}}]
    try:
        report = await call(workspace, "add_data", project="P", items=items)
    except WorkbenchError:
        pass
    else:
        assert report["new_items"] == 0
    assert await texts(workspace) == []


# ------------------------------------------------------------ traces and exports


async def test_a_trace_becomes_a_run_of_its_model_and_never_a_reference(
    workspace: Workspace, tmp_path: Path
) -> None:
    completion = {
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1", "created": 1750000000,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "In Norway."}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        "input": [{"role": "user", "content": "Where is Oslo?"}],
        "messages": [{"role": "user", "content": "Where is Oslo?"}],
    }  # fmt: skip
    report = await add(workspace, tmp_path, "stored.jsonl", json.dumps(completion))
    assert report["new_items"] == 1, report
    (run,) = await runs(workspace)
    assert (run.input, run.output.output) == ("Where is Oslo?", "In Norway.")
    assert run.output.source is not None
    assert run.output.source.properties["model_name"] == "gpt-4.1"
    assert run.usage is not None
    assert run.usage.total_tokens == 12
    again = await add(workspace, tmp_path, "again.jsonl", json.dumps(completion))
    assert (again["new_items"], again["already_there"]) == (0, 1)


@pytest.mark.parametrize(
    "ending", ["jsonl", "csv", pytest.param("parquet", marks=pytest.mark.parquet)]
)
async def test_what_is_exported_is_read_back_with_all_that_was_said_of_it(
    ending: str, workspace: Workspace, tmp_path: Path
) -> None:
    rows = [
        {"id": "a1", "input": "=1+1", "output": "two\nlines", "model": "m", "rating": 4,
         "reasoning": "so", "cost_usd": 0.25, "tags": ["x", "y"],
         "trace": [{"role": "user", "content": "=1+1"}]},
        {"input": "-3", "output": "'=x", "tags": ["z"], "rating": 1, "rating_type": "pass_fail"},
        {"input": "fix", "output": "wrong", "repaired": "right", "repair_instructions": "mend"},
    ]  # fmt: skip
    await add(workspace, tmp_path, "in.jsonl", "\n".join(map(json.dumps, rows)))
    out = tmp_path / f"out.{ending}"
    await call(workspace, "export", project="P", task="Answer", file=str(out))
    await task_with(workspace)
    report = await call(workspace, "add_data", project="P", task="S", file=str(out))
    assert (report["new_items"], report["bad_row_count"]) == (3, 0)

    def meaning(run: TaskRun) -> object:
        rating = run.output.rating
        return (
            (run.input, run.output.output, run.best_output, run.tags, run.created_at),
            (rating.value, rating.type) if rating else None,
            (run.intermediate_outputs, run.usage and run.usage.cost, run.trace),
            run.output.source.type if run.output.source else None,
        )

    first, second = await runs(workspace), await runs(workspace, "S")
    assert [meaning(run) for run in second] == [meaning(run) for run in first]
    again = await call(workspace, "add_data", project="P", task="Answer", file=str(out))
    assert (again["new_items"], again["already_there"]) == (0, 3)
