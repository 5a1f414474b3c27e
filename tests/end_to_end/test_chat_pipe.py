"""Conversations in a pipe: `kiln-chat -p` as a script uses it, and what is on disk at the end."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from chat_programs import Body, Calls, Step, chat_programs
from search_bench import (
    PRICED_ENVIRONMENT,
    PRICED_WORKERS,
    by_demonstrations,
    open_search_bench,
    priced_search,
)
from spec_bench import assistant
from tuning_services import environment_of, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def records(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the records of a project that lie at a pattern."""
    return [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(pattern))]


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def approvers(home: Path) -> list[str]:
    """Return who asked for and gave the approvals that the workbench recorded."""
    with closing(sqlite3.connect(home / "approvals.sqlite")) as sql:
        return [client for (client,) in sql.execute("SELECT client FROM approvals")]


async def test_two_specs_are_built_from_a_complaint_in_a_pipe(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    where = {"project": str(project)}
    complaint = "Replies promise refunds, and some are rude."

    def save(body: Body) -> Calls:
        session = re.search(r"session: (\S+)", body["messages"][-1]["content"])
        assert session is not None
        return [("build_spec", {**where, "session": session[1], "save": True})]

    create = {"name": "Shop", "folder": str(project), "task": "Reply", "instruction": "Answer."}
    script: list[Step] = [
        [("create_project", create)],
        [("build_spec", {**where, "wish": complaint, "wait_s": 60})],
        save,
        "Both specs are saved.",
    ]
    environment = {"KILN_MCP_MODEL": "paid/worker"}
    workers = {"worker": assistant}
    with anyio.fail_after(500):
        async with chat_programs(tmp_path, script, workers, environment) as programs:
            words = ("-p", complaint, "--output", "stream-json", "--approve", "spends")
            code, out, err = await programs.run(*words)
    events = lines_of(out)
    assert (code, "kiln-chat" in err) == (0, False)
    assert events[0]["type"] == "chat"
    assert events[-1]["text"] == "Both specs are saved."
    # The questions of build_spec are a person's: none is there, and so each is declined aloud.
    forms = [event for event in events if event["type"] == "form_answered"]
    assert {form["action"] for form in forms} <= {"decline"}
    assert {form["by"] for form in forms} <= {
        "the option --approve of this command, not by a person"
    }
    names = {spec["name"] for spec in records(project, "tasks/*/specs/*/spec.kiln")}
    assert len(names) == 2
    assert "Promises" in names


async def test_a_prompt_is_optimised_within_two_dollars_in_a_pipe(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    script: list[Step] = [
        *priced_search(project, wait_s=0),
        "It runs.",
        "It is better.",
    ]
    words = ("-p", "Optimise the prompt.", "--output", "json", "--limit", "usd=2")
    with anyio.fail_after(500):
        async with chat_programs(tmp_path, script, PRICED_WORKERS, PRICED_ENVIRONMENT) as programs:
            code, out, err = await programs.run(*words, "--approve", "spends")
            [chat] = programs.chats
            record = (programs.home / "chats" / f"{chat}.jsonl").read_text("utf-8")
            who = approvers(programs.home)
    result = json.loads(out)
    assert (code, "kiln-chat" in err) == (0, False)
    assert (result["exit_code"], result["text"], result["approvals_needed"]) == (
        0, "It is better.", [])  # fmt: skip
    assert len(records(project, "tasks/*/prompts/*/prompt.kiln")) == 1
    assert max(programs.server.asked.values()) == 1
    assert '"by":"the option --approve of this command, not by a person"' in record
    assert ["not by a person" in client for client in who] == [True]


async def test_what_costs_more_than_the_limit_is_not_begun_in_a_pipe(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    script: list[Step] = [
        *priced_search(project),
        "It was not approved.",
    ]
    words = ("-p", "Optimise.", "--output", "stream-json", "--limit", "usd=0.00001")
    with anyio.fail_after(500):
        async with chat_programs(tmp_path, script, PRICED_WORKERS, PRICED_ENVIRONMENT) as programs:
            code, out, _ = await programs.run(*words, "--approve", "spends")
    events = lines_of(out)
    finished = [event for event in events if event["type"] == "tool_finished"]
    assert code == 3
    assert finished[-1]["refusal"] == "declined"
    assert "the option --approve" in finished[-1]["text"]
    assert sum(programs.server.asked.values()) == 0


async def test_a_small_model_is_tuned_and_compared_in_a_pipe(tmp_path: Path) -> None:
    project = tmp_path / "p"
    where = {"project": str(project)}
    items = [
        {"input": f"word{n} other{n * 3} third{n * 5}", "output": f"answer {n}"} for n in range(40)
    ]
    create = {"name": "P", "folder": str(project), "task": "T", "instruction": "Answer."}
    train = {
        "split": "F", "provider": "openai", "base_model": "gpt-4.1-mini-2025-04-14",
        "name": "Tuned", "parameters": {"epochs": 2}, "wait_s": 60,
    }  # fmt: skip
    script: list[Step] = [
        [("create_project", create)],
        [("add_data", {**where, "items": items})],
        [("split_data", {**where, "name": "Right", "seed": 1})],
        [("split_data", {**where, "name": "Right", "freeze": "F"})],
        [("train_model", {**where, **train})],
        [("find", {**where, "kind": "run_config"})],
        "It is trained.",
    ]
    with anyio.fail_after(500):
        async with serve("openai") as services:
            environment = environment_of("openai", services.address)
            async with chat_programs(tmp_path, script, environment=environment) as programs:
                words = ("-p", "Tune a small model.", "--output", "stream-json")
                code, out, err = await programs.run(*words, "--approve", "spends,sends,destroys")
    events = lines_of(out)
    finished = {e["name"]: e for e in events if e["type"] == "tool_finished"}
    assert (code, "kiln-chat" in err) == (0, False), finished
    assert "Tuned" in finished["find"]["text"]
    assert len(services.trainings) == 1
    tunes = records(project, "tasks/*/finetunes/*/finetune.kiln")
    assert [tune["latest_status"] for tune in tunes] == ["completed"]
