"""What people bring in and send out, through the catalogue."""

import json
import os
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.workbench.workspace import Workspace
from storage import Task
from storage.errors import Refusal, UnreadableRecord, WorkbenchError

_SCHEMA: JsonValue = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def test_a_row_that_does_not_fit_the_tasks_schema_is_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    await _call(
        workspace,
        "create_project",
        project="P",
        task="S",
        instruction="Count.",
        output_schema=_SCHEMA,
    )
    table = anyio.Path(tmp_path / "in.jsonl")
    await table.write_text(
        '{"input": "a", "output": {"n": 1}}\n'
        '{"input": "b", "output": "none"}\n'
        '{"input": "c", "output": {"n": "1"}}\n',
        encoding="utf-8",
    )
    report = await _call(workspace, "add_data", project="P", task="S", file=str(table))
    assert report["new_items"] == 1
    assert isinstance(report["bad_rows"], list)
    first, second = (str(row) for row in report["bad_rows"])
    assert first.startswith("line 2: its output does not fit the task's schema: 'none' is not")
    assert second.startswith("line 3: its output does not fit the task's schema: '1' is not")


async def test_a_table_of_runs_is_not_written_into_the_project(
    workspace: Workspace, tmp_path: Path
) -> None:
    link = anyio.Path(tmp_path / "link")
    await link.symlink_to(tmp_path / "p" / "tasks")
    for place in (tmp_path / "p" / "tasks" / "x.jsonl", tmp_path / "link" / "x.csv"):
        with pytest.raises(Refusal, match="outside of the project's folder"):
            await _call(workspace, "export", project="P", file=str(place))
        assert not await anyio.Path(place).exists()


async def test_a_project_travels_as_an_archive(workspace: Workspace, tmp_path: Path) -> None:
    packed = await _call(
        workspace, "export", project="P", file=str(tmp_path / "p.zip"), kind="project"
    )
    assert packed["files"] == 3
    brought = await _call(
        workspace, "create_project", copy_from=str(tmp_path / "p.zip"), folder=str(tmp_path / "q")
    )
    assert (brought["project"], brought["folder"]) == ("P", str(tmp_path / "q"))
    described = await _call(workspace, "describe_project", project=str(tmp_path / "q"))
    assert isinstance(described["tasks"], list)
    assert len(described["tasks"]) == 1


async def test_a_pipe_in_place_of_the_only_task_is_named_and_never_waited_for(
    workspace: Workspace,
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    file = store.folder / task.saved.path
    file.unlink()
    os.mkfifo(file)
    with anyio.fail_after(60):
        described = await _call(workspace, "describe_project", project="P")
        with pytest.raises(WorkbenchError):
            await _call(workspace, "find", project="P")
    assert "no ordinary file" in str(described["unreadable"])


async def test_a_task_of_a_newer_program_is_named_with_its_file(
    workspace: Workspace, tmp_path: Path
) -> None:
    (file,) = [one async for one in anyio.Path(tmp_path / "p" / "tasks").glob("*/task.kiln")]
    text = await file.read_text(encoding="utf-8")
    await file.write_text(text.replace('"v": 1', '"v": 2', 1), encoding="utf-8")
    step = (await _call(workspace, "describe_project", project="P"))["message"]
    assert isinstance(step, str)
    assert f"In {tmp_path / 'p'}: {file.relative_to(tmp_path / 'p').as_posix()}: " in step
    assert "Upgrade this program" in step
    with pytest.raises(UnreadableRecord, match="Upgrade this program"):
        await _call(workspace, "find", project="P")


def test_the_terminal_shows_what_would_meddle_with_it_and_the_data_keep_it(tmp_path: Path) -> None:
    environment = {"KILN_MCP_HOME": str(tmp_path / "home")}
    folder, table = str(tmp_path / "p"), tmp_path / "t.jsonl"
    evil = "a\x1b[2J\u202eb\u009b"
    table.write_text(json.dumps({"input": evil, "output": "o"}), encoding="utf-8")
    printed: list[str] = []
    for arguments in (
        ["create-project", "--name", "P", "--folder", folder],
        ["create-project", "--project", folder, "--name", "T", "--instruction", "Do."],
        ["add-data", "--project", folder, "--file", str(table)],
        ["find", "--project", folder],
        ["find", "--project", folder, "--json"],
    ):
        done = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
        printed.append(done.output)
    assert r"a\u001b[2J\u202eb\u009b" in printed[-2]
    assert "\x1b" not in printed[-1]
    assert json.loads(printed[-1])["runs"][0]["input"] == evil


async def test_bad_rows_that_are_too_many_for_an_answer_are_all_in_a_file(
    workspace: Workspace, tmp_path: Path
) -> None:
    table = anyio.Path(tmp_path / "many.csv")
    await table.write_text(
        "input,output,rating\na,b,5\n" + "".join(f"a{n},b,x\n" for n in range(700)),
        encoding="utf-8",
    )
    report = await _call(workspace, "add_data", project="P", file=str(table))
    assert report["new_items"] == 1
    assert isinstance(report["bad_rows"], list)
    assert report["bad_rows"][-1] == "… and 200 more"
    text = await anyio.Path(str(report["all_bad_rows"])).read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[-1] == "line 702: its rating cannot be used: it is no number: 'x'"
    assert lines[:500] == report["bad_rows"][:500]
    assert len(lines) == 700
    await table.write_text("input,output,rating\na,b,x\n", encoding="utf-8")
    report = await _call(workspace, "add_data", project="P", file=str(table))
    assert "all_bad_rows" not in report


@pytest.mark.parametrize("tool", ["add_data", "create_project"])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("pipe.csv", "no ordinary file"),
        ("zero.csv", "no ordinary file"),
        ("folder.csv", "no ordinary file|no project.kiln"),
        ("loop.csv", "(?i)too many levels|does not exist"),
        ("huge.csv", "10,737,418,240 bytes|no project.kiln"),
        ("missing.csv", "(?i)no such file|does not exist"),
    ],
)
async def test_what_is_no_file_of_a_usual_size_is_refused_at_once(
    tool: str, place: str, words: str, workspace: Workspace, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with (tmp_path / "huge.csv").open("wb") as huge:
        huge.truncate(10 << 30)
    source: dict[str, JsonValue] = (
        {"copy_from": str(tmp_path / place), "folder": str(tmp_path / "new")}
        if tool == "create_project"
        else {"project": "P", "file": str(tmp_path / place)}
    )
    with anyio.fail_after(60), pytest.raises(WorkbenchError, match=words):
        await _call(workspace, tool, **source)


async def test_a_link_to_a_table_is_followed_since_the_person_names_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    await anyio.Path(tmp_path / "real.csv").write_text("input,output\na,b\n", encoding="utf-8")
    (tmp_path / "link.csv").symlink_to("real.csv")
    report = await _call(workspace, "add_data", project="P", file=str(tmp_path / "link.csv"))
    assert report["new_items"] == 1
