"""What the command line refuses and says by itself."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import click
import pytest
from click.testing import CliRunner, Result
from pydantic import JsonValue

from kiln_mcp.approvals.approval import ApprovalState, Door
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.cli.failures import run_guarded
from kiln_mcp.doors.cli.options import Need, option_of
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Heading


def run(home: Path, *arguments: str) -> Result:
    invoke = CliRunner(env={"KILN_MCP_HOME": str(home)}).invoke
    return invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "99999"), "99999 is not in the range 0<=x<=65535"),
        (("serve", "--port", "-1"), "-1 is not in the range"),
        (("serve", "--idle-minutes", "-1"), "-1.0 is not in the range x>0"),
        (("serve", "--idle-minutes", "0"), "0.0 is not in the range x>0"),
        (("worker", "--database-url", "mysql://x"), "'mysql' is not Postgres"),
        (("worker", "--database-url", "sqlite:///x"), "'sqlite' is not Postgres"),
        (("worker",), "A worker needs a shared database"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = run(tmp_path / "home", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create-project", "--project", "P", "--task", " ", "--instruction", "x"), "' ' is empty"),
        (
            ("label-items", "--project", "P", "--eval", "e", "--rater", "", "--labels", "[]"),
            "kiln-mcp: label-items was not called: The argument '--labels' is wrong: it needs at "
            "least 1 entry (given: []). The argument '--rater' is wrong: it needs at least 1 char",
        ),
        (
            ("add-data", "--project", "P", "--items", '[{"inptu": "x"}]'),
            "add-data was not called: The argument '--items[0].input' is missing. Unknown "
            "argument '--items[0].inptu'. Did you mean",
        ),
        (
            ("run-eval", "--project", "P", "--eval", "e", "--wait-s", "-1"),
            "Invalid value for '--wait-s': -1.0 is not in the range 0<=x<=300.",
        ),
        (
            ("create-project", "--project", "P", "--output-schema", "{"),
            "--output-schema is not valid JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1). Give JSON or @FILE.",
        ),
        (
            ("add-data", "--project", "P", "--items", "@none.json"),
            "--items: the file 'none.json' cannot be read: no such file or directory. Give JSON",
        ),
        (("add-data", "--project", "P", "--items", "[" * 100_000), "--items is nested too deeply"),
    ],
)
def test_a_wrong_argument_is_named_as_it_is_typed_and_ends_with_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    home, folder = tmp_path / "home", str(tmp_path / "p")
    assert main_code(home, "create-project", "--folder", folder, "--name", "P")[0] == 0
    code, complaint = main_code(home, *arguments)
    assert said in complaint
    assert code == 2


def test_the_id_of_a_plan_is_typed_without_quotes_of_json(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", str(tmp_path / "p")
    made = ("create-project", "--folder", folder, "--name", "P")
    assert main_code(home, *made, "--task", "T", "--instruction", "Answer.")[0] == 0
    code, complaint = main_code(home, "generate-data", "--project", "P", "--plan", "p123")
    assert (code, "has no plan 'p123' of generated data." in complaint) == (1, True)


def main_code(home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command with its failures explained; return its exit code and what it said."""

    @click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def guarded(words: tuple[str, ...]) -> None:
        sys.exit(run_guarded(lambda: cli.main(list(words), standalone_mode=False)))

    environment = {"KILN_MCP_HOME": str(home), "KILN_MCP_DAEMON": "off"}
    result = CliRunner(env=environment).invoke(guarded, ["--", *arguments])
    return result.exit_code, result.stderr


def test_a_misspelt_capability_is_answered_with_its_name(tmp_path: Path) -> None:
    refused = run(tmp_path / "home", "descrbe-project")
    assert refused.exit_code == 2
    assert "'describe-project'" in refused.stderr


@pytest.mark.parametrize(
    ("word", "command"),
    [("optimise", "improve-prompt"), ("undelete", "restore"), ("upload", "add-data")],
)
def test_a_word_that_people_say_for_a_command_is_answered_with_the_command(
    tmp_path: Path, word: str, command: str
) -> None:
    refused = run(tmp_path / "home", word)
    assert refused.exit_code == 2
    assert f"'{command}'" in refused.stderr


def test_a_misspelt_option_is_answered_with_its_name(tmp_path: Path) -> None:
    refused = run(tmp_path / "home", "run-eval", "--evl", "Right")
    assert refused.exit_code == 2
    assert "'--eval'" in refused.stderr


def test_the_help_lists_every_command_under_a_heading(tmp_path: Path) -> None:
    text = run(tmp_path / "home", "--help").stdout
    headings = [line.removesuffix(":") for line in text.splitlines() if re.match(r"\w.*:$", line)]
    assert headings == ["Options", "Setup and service", *own_headings()]
    for item in installed_catalogue().capabilities:
        _, _, below = text.partition(f"\n{item.discovery.heading.value}:\n")
        section, _, _ = below.partition("\n\n")
        assert f"\n  {item.name.replace('_', '-')} " in f"\n{section}"


def own_headings() -> list[str]:
    return [heading.value for heading in Heading if heading is not Heading.EXTENSIONS]


def test_a_command_takes_the_project_of_the_folder_in_which_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder = tmp_path / "home", tmp_path / "p"
    run(home, "create-project", "--folder", str(folder), "--name", "P")
    (folder / "notes").mkdir()
    monkeypatch.chdir(folder / "notes")
    described = run(home, "describe-project", "--json")
    assert json.loads(described.stdout)["folder"] == str(folder)
    monkeypatch.chdir(tmp_path)
    refused = run(home, "describe-project")
    assert refused.exit_code == 2
    assert "Missing option '--project': name a project or its folder" in refused.stderr


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("optimise", "improve-prompt"),
        ("delete", "delete-records"),
        ("upload", "add-data"),
        ("download", "export"),
        ("run-evl", "run-eval"),
    ],
)
def test_another_word_for_a_command_is_answered_with_its_name(
    tmp_path: Path, words: str, command: str
) -> None:
    refused = run(tmp_path / "home", words)
    assert refused.exit_code == 2
    assert f"Did you mean '{command}'" in refused.stderr.replace("one of: ", "")


def test_a_command_may_be_written_as_the_tool_is_named(tmp_path: Path) -> None:
    assert run(tmp_path / "home", "describe_project", "--help").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--tags", "a", "--tags", "b"), ["a", "b"]),
        (("--tags", '["a", "b"]'), ["a", "b"]),
        (("--tags", "[]"), []),
        (("--tags", "[a]"), ["[a]"]),
        (("--tags", "[1]"), ["[1]"]),
    ],
)
def test_a_list_of_texts_may_be_given_as_json(arguments: tuple[str, ...], texts: list[str]) -> None:
    schema: dict[str, JsonValue] = {"type": "array", "items": {"type": "string"}}
    command = click.Command("x", params=[option_of("tags", schema, Need.NONE)])
    context = command.make_context("x", [*arguments])
    assert list(context.params["tags"]) == texts


async def test_who_waits_for_the_host_is_told_so_and_where_to_answer(tmp_path: Path) -> None:
    home, ended = tmp_path / "home", list[Result]()
    group = anyio.create_task_group()

    async def ask() -> None:
        asked = partial(run, home, "test-model", "--model", "host")
        ended.append(await anyio.to_thread.run_sync(asked))
        group.cancel_scope.cancel()

    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    with anyio.fail_after(60):
        async with (
            installed_catalogue().open_workspace(settings) as workspace,
            group,
        ):
            group.start_soon(ask)
            orders = workspace.engine.orders
            looks = 0
            while True:
                looks += await orders.open_count() > 0
                # The command looks every second: nobody answers before it has.
                for batch in await orders.take() if looks > 30 else ():
                    for order_id, _ in batch.items:
                        with suppress(UnknownOrder):
                            await orders.answer(order_id, "Ready.")
                await anyio.sleep(0.05)
    said = ended[0].stderr
    assert said.count("for the model 'host', which is a connected assistant") == 1
    assert "answer-work-orders" in said


EMPTY = ("empty-trash", "--project", "P")


async def with_trash(home: Path) -> None:
    """Make a project, P, with one task in its trash."""
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    catalogue = installed_catalogue()
    async with catalogue.open_workspace(settings) as workspace:
        folder = str(home.parent / "p")
        await catalogue.perform(workspace, "create_project", {"name": "P", "folder": folder})
        for name in ("A", "B"):
            task = {"project": "P", "name": name, "instruction": "Do it."}
            await catalogue.perform(workspace, "create_project", task)
        gone: dict[str, JsonValue] = {"project": "P", "kind": "task", "records": ["B"]}
        await catalogue.perform(workspace, "delete_records", gone)


@pytest.mark.parametrize("extra", [(), ("--yes",), ("--approval-id", "ap-234567")])
async def test_without_a_terminal_nothing_is_destroyed_and_the_way_to_the_person_is_said(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    home = tmp_path / "home"
    await with_trash(home)
    refused = await anyio.to_thread.run_sync(partial(run, home, *EMPTY, *extra))
    assert refused.exit_code == 3
    assert "Remove 1 record in the trash for good." in refused.stderr
    assert "Approve it in one with kiln-mcp approve ap-" in refused.stderr
    (waiting,) = ApprovalStore(home).waiting()
    approvals = ApprovalStore(home)
    assert approvals.approve(waiting.id, Door.TERMINAL)
    done = await anyio.to_thread.run_sync(
        partial(run, home, *EMPTY, "--approval-id", waiting.id, "--json")
    )
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"removed": 1})


async def in_a_terminal(home: Path, typed: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command whose standard input is a terminal; return its exit code and what it says."""
    ours, theirs = os.openpty()
    program = [sys.executable, "-c", "from kiln_mcp.doors.cli import main; main()", *arguments]
    environment = {**os.environ, "KILN_MCP_HOME": str(home)}
    try:
        async with await anyio.open_process(
            program, stdin=theirs, stderr=subprocess.STDOUT, env=environment
        ) as process:
            os.write(ours, typed)
            assert process.stdout is not None
            said = b"".join([chunk async for chunk in process.stdout])
            return await process.wait(), said.decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("typed", "extra", "code", "door"),
    [
        (b"y\n", (), 0, ApprovalState.USED),
        (b"n\n", (), 3, ApprovalState.DECLINED),
        (b"", ("--yes",), 0, ApprovalState.USED),
    ],
)
async def test_in_a_terminal_the_person_is_asked_and_their_answer_recorded(
    tmp_path: Path, typed: bytes, extra: tuple[str, ...], code: int, door: ApprovalState
) -> None:
    home = tmp_path / "home"
    await with_trash(home)
    with anyio.fail_after(60):
        ended, said = await in_a_terminal(home, typed, *EMPTY, *extra)
    assert ended == code, said
    assert ("removed: 1" in said) is (code == 0)
    (approval,) = ApprovalStore(home).history()
    assert (approval.state, approval.door) == (door, Door.TERMINAL)


def test_a_command_that_leaves_a_job_of_its_own_says_what_goes_on_with_it(tmp_path: Path) -> None:
    home, project = tmp_path / "home", ("--project", str(tmp_path / "p"))
    task = ("--task", "T", "--instruction", "Answer.")
    run(home, "create-project", "--name", "P", "--folder", str(tmp_path / "p"), *task)
    run(home, "create-run-config", *project, "--name", "C", "--model", "host")
    inputs = ("--inputs", '["x"]', "--run-config", "C", "--count", "1")
    left = run(home, "generate-data", *project, *inputs, "--wait-s", "0", "--json")
    job = json.loads(left.stdout)["job"]
    assert f"The job {job} is not done, and nothing runs it now." in left.stderr
    assert f"kiln-mcp check-job --job {job} --seconds 300 goes on with it" in left.stderr
    assert "If this command is killed, the job continues" not in left.stderr
