"""Traces of production become runs, as a person's client or command adds them."""

import gzip
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import anyio
import pytest
from click.testing import CliRunner
from mcp import Client
from pydantic import JsonValue

import trace_exports as exports
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.server import build_server
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace
from storage import Task, TaskOutputRating, TaskRun
from storage.errors import Refusal

Answer = dict[str, JsonValue]


def _write(file: Path, rows: Sequence[Mapping[str, object]]) -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return str(file)


async def _add(workspace: Workspace, file: str, **more: JsonValue) -> Answer:
    arguments: Answer = {"project": "P", "file": file, **more}
    return await installed_catalogue().perform(workspace, "add_data", arguments)


async def _runs(workspace: Workspace) -> list[TaskRun]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return await store.children(task, TaskRun)


def _files_with(folder: Path, text: str) -> list[Path]:
    return [
        file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()
    ]


@pytest.mark.parametrize("name", ["spans.jsonl", "spans.jsonl.gz"])
async def test_a_trace_is_a_run_with_its_conversation_and_what_it_took(
    name: str, workspace: Workspace, tmp_path: Path
) -> None:
    file = _write(tmp_path / name, [exports.otlp(entry) for entry in exports.agent_spans()])
    answer = await _add(workspace, file)
    assert (answer["new_items"], answer.get("bad_rows")) == (1, None)
    assert answer["shape"] == "OpenTelemetry spans"
    (run,) = await _runs(workspace)
    assert (run.input, run.output.output) == ("Weather in Paris?", "It rains.")
    assert run.trace is not None
    assert [message.role for message in run.trace] == ["user", "assistant", "tool", "assistant"]
    assert run.usage is not None
    assert (run.usage.total_tokens, run.usage.total_llm_latency_ms) == (115, 3000)
    assert run.created_at.timestamp() == 1_780_000_000
    source = run.output.source
    assert source is not None
    assert source.type == "synthetic"
    assert source.properties["model_name"] == "gpt-4o"
    assert source.properties["session_id"] == "conversation-7"
    assert run.tags == ("production",)
    call: Answer = {"project": "P", "record": run.id or ""}
    details = await installed_catalogue().perform(workspace, "read", call)
    assert details["input_tokens"] == run.usage.input_tokens
    lines = cast("list[str]", details["messages"])
    assert [line.partition(":")[0] for line in lines] == ["user", "assistant", "tool", "assistant"]
    assert "Paris" in lines[1]


async def test_the_same_export_and_one_that_overlaps_add_nothing_twice(
    workspace: Workspace, tmp_path: Path
) -> None:
    first = exports.otlp(exports.chat_span(trace="a" * 32))
    second = exports.otlp(exports.chat_span(trace="b" * 32))
    monday = _write(tmp_path / "monday.jsonl", [first])
    week = _write(tmp_path / "week.jsonl", [first, second])
    assert (await _add(workspace, monday))["new_items"] == 1
    again = await _add(workspace, monday)
    assert (again["new_items"], again["already_there"]) == (0, 1)
    longer = await _add(workspace, week)
    assert (longer["new_items"], longer["already_there"]) == (1, 1)
    assert len(await _runs(workspace)) == 2


async def test_a_fuller_export_of_a_trace_completes_its_run_and_keeps_what_people_did(
    workspace: Workspace, tmp_path: Path
) -> None:
    spans = exports.agent_spans()
    first_call = min(
        (span for span in spans if "gen_ai.output.messages" in json.dumps(span)),
        key=lambda span: int(str(span["startTimeUnixNano"])),
    )
    part = _write(tmp_path / "part.jsonl", [exports.otlp(first_call)])
    whole = _write(tmp_path / "whole.jsonl", [exports.otlp(*spans)])
    assert (await _add(workspace, part))["new_items"] == 1
    store = await workspace.open_project("P")
    (run,) = await _runs(workspace)
    rating = TaskOutputRating(type="five_star", value=4)
    mine = run.replace(output=run.output.replace(rating=rating), tags=(*run.tags, "golden"))
    await store.save(mine)
    answer = await _add(workspace, whole)
    assert (answer["new_items"], answer["already_there"], answer["updated"]) == (0, 0, 1)
    (fuller,) = await _runs(workspace)
    assert (fuller.id, fuller.output.output) == (run.id, "It rains.")
    assert fuller.trace is not None
    assert [message.role for message in fuller.trace] == ["user", "assistant", "tool", "assistant"]
    assert fuller.output.rating is not None
    assert fuller.output.rating.value == 4
    assert "golden" in fuller.tags
    for again in (part, whole):
        answer = await _add(workspace, again)
        assert (answer["new_items"], answer["already_there"]) == (0, 1)
    (last,) = await _runs(workspace)
    assert last.output.output == "It rains."


async def test_bad_spans_are_named_and_the_preview_saves_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    good = exports.chat_span()
    rows = [exports.otlp(good), exports.otlp(good), exports.otlp({**good, "traceId": ""})]
    file = _write(tmp_path / "spans.jsonl", rows)
    preview = await _add(workspace, file, preview=True)
    assert (preview["new_items"], await _runs(workspace)) == (1, [])
    answer = await _add(workspace, file)
    assert answer["new_items"] == 1
    named = str(answer["bad_rows"])
    assert "2: the span 0000000000000001 is there more than once" in named
    assert "3: the span 'span' has no trace id" in named


async def test_a_whole_document_of_an_interface_is_read(
    workspace: Workspace, tmp_path: Path
) -> None:
    documents = {
        "otlp.json": exports.otlp(*exports.agent_spans()),
        "langfuse.json": {"data": [exports.langfuse_trace()], "meta": {"page": 1}},
        "langsmith.json": exports.langsmith_runs(),
        "openai.json": {"object": "list", "data": [exports.response_object()]},
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps(document, indent=2), encoding="utf-8")
        answer = await _add(workspace, str(tmp_path / name))
        assert (name, answer["new_items"], answer.get("bad_rows")) == (name, 1, None)
    assert len(await _runs(workspace)) == len(documents)


async def test_langfuses_table_of_traces_is_read_as_csv(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "traces.csv"
    file.write_text(
        "id,timestamp,name,userId,sessionId,input,output,tags,latency,totalCost\n"
        't1,2026-05-01T10:00:00Z,chat,u,s1,"{""question"": ""Why?""}",Because.,"[""x""]",1.5,0.2\n',
        encoding="utf-8",
    )
    assert (await _add(workspace, str(file)))["new_items"] == 1
    (run,) = await _runs(workspace)
    assert (run.input, run.output.output) == ("Why?", "Because.")
    assert run.usage is not None
    assert run.usage.cost == 0.2


async def test_the_columns_of_scores_in_langfuses_table_are_kept_and_can_be_the_rating(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "traces.csv"
    file.write_text(
        "id,timestamp,userId,input,output,inputTokens,user-thumbs,helpfulness,tone\n"
        't1,2026-05-01T10:00:00Z,u,Why?,Because.,12,"[1]",0.7,"[""dry"",""short""]"\n'
        "t2,2026-05-01T10:01:00Z,u,Who?,Nobody.,12,[0],0,\n",
        encoding="utf-8",
    )
    await _add(workspace, str(file), mapping={"rating": "user-thumbs"})
    first, second = sorted(await _runs(workspace), key=lambda run: run.input, reverse=True)
    assert first.output.source is not None
    feedback = json.loads(str(first.output.source.properties["feedback"]))
    assert [(entry["name"], entry["value"]) for entry in feedback] == [
        ("user-thumbs", 1.0), ("helpfulness", 0.7), ("tone", "dry"), ("tone", "short"),
    ]  # fmt: skip
    ratings = [run.output.rating for run in (first, second)]
    assert [rating.value if rating else None for rating in ratings] == [1, 0]
    assert first.tags == ("production", "user_thumb_up")
    assert second.tags == ("production", "user_thumb_down")


async def test_what_users_said_is_theirs_until_somebody_maps_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    file = _write(tmp_path / "langfuse.jsonl", [exports.langfuse_trace()])
    await _add(workspace, file)
    (run,) = await _runs(workspace)
    assert run.output.rating is None
    assert "user_thumb_down" in run.tags
    store = await workspace.open_project("P")
    assert await store.counts(run) == {}
    shown = await installed_catalogue().perform(
        workspace, "read", {"project": "P", "record": run.id}
    )
    source = cast("Answer", shown["output_source"])
    assert "too slow" in str(source["feedback"])
    assert source["session_id"] == "session-1"
    await store.delete(run)
    await _add(workspace, file, mapping={"rating": "user-thumbs"})
    (run,) = await _runs(workspace)
    assert run.output.rating is not None
    assert (run.output.rating.type, run.output.rating.value) == ("pass_fail", 0)


async def test_an_answer_of_production_is_no_reference_and_a_cut_one_says_so(
    workspace: Workspace, tmp_path: Path
) -> None:
    sent = [{"role": "user", "content": "Hi"}]
    file = _write(
        tmp_path / "stored.jsonl",
        [
            exports.stored_completion(id="chatcmpl-1", messages=sent),
            exports.stored_completion("Half a", "length", id="chatcmpl-2", messages=sent),
        ],
    )
    answer = await _add(workspace, file)
    assert (answer["new_items"], answer["contradicted_rows"]) == (2, 0)
    whole, cut = sorted(await _runs(workspace), key=lambda run: run.output.output, reverse=True)
    assert (whole.is_usable, cut.is_usable, cut.answer_state) == (True, False, "truncated")
    assert "answer_truncated" in cut.tags


async def test_an_answer_that_was_cut_off_is_never_taken_for_right(
    workspace: Workspace, tmp_path: Path
) -> None:
    sent = [{"role": "user", "content": "Hi"}]
    row = exports.stored_completion("Half a", "length", messages=sent)
    file = _write(tmp_path / "a.jsonl", [row])
    with pytest.raises(Refusal, match="its answer is truncated, so it is no right output"):
        await _add(workspace, file, outputs="right")
    assert await _runs(workspace) == []


async def test_no_secret_of_an_export_reaches_the_project_or_the_home(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = {
        "spans": [exports.otlp(entry) for entry in exports.agent_spans()],
        "langfuse": [exports.langfuse_trace()],
        "langsmith": exports.langsmith_runs(),
    }
    for name, lines in rows.items():
        file = _write(tmp_path / f"{name}.jsonl", lines)
        assert (await _add(workspace, file))["new_items"] == 1
        await anyio.Path(file).unlink()
    assert _files_with(tmp_path, exports.SECRET) == []
    assert _files_with(tmp_path, "Where is my order?") != []


async def test_a_client_of_the_protocol_adds_traces(workspace: Workspace, tmp_path: Path) -> None:
    file = _write(tmp_path / "runs.jsonl", exports.langsmith_runs())
    server = build_server(nullcontext(workspace), installed_catalogue())
    arguments = {"project": "P", "file": file, "mapping": {"rating": "user_score"}}
    with anyio.fail_after(30):
        async with Client(server) as client:
            result = await client.call_tool("add_data", arguments)
    assert result.structured_content is not None
    assert result.structured_content["new_items"] == 1
    (run,) = await _runs(workspace)
    assert run.output.rating is not None
    assert run.output.rating.value == 1


def test_a_command_adds_traces(tmp_path: Path) -> None:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    environment = {"KILN_MCP_HOME": str(settings.home)}
    folder = str(tmp_path / "p")
    file = _write(tmp_path / "langfuse.jsonl", [exports.langfuse_trace()])
    for arguments in (
        ["create-project", "--name", "P", "--folder", folder],
        ["create-project", "--project", folder, "--name", "T", "--instruction", "Help."],
        ["add-data", "--project", folder, "--file", file],
        ["find", "--project", folder, "--filter", "tag::user_thumb_down", "--json"],
    ):
        done = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    (run,) = json.loads(done.output)["runs"]
    assert (run["input"], run["output"]) == ("Where is my order?", "On its way.")
