"""Conversations in a pipe: `kiln-chat -p` as a script uses it, and what is on disk at the end."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from chat_programs import Step, Unfinished, chat_programs
from search_bench import (
    PRICED_ENVIRONMENT,
    PRICED_WORKERS,
    by_demonstrations,
    open_search_bench,
    priced_search,
)
from six_talks import LAST_WORDS, SIX_TALKS, records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def approvers(home: Path) -> list[str]:
    """Return who asked for and gave the approvals that the workbench recorded."""
    with closing(sqlite3.connect(home / "approvals.sqlite")) as sql:
        return [client for (client,) in sql.execute("SELECT client FROM approvals")]


@pytest.mark.parametrize("name", SIX_TALKS)
async def test_a_conversation_in_a_pipe_leaves_its_work_on_disk(name: str, tmp_path: Path) -> None:
    words = ("--output", "stream-json", "--approve", "spends,sends,destroys")
    with anyio.fail_after(500):
        async with SIX_TALKS[name](tmp_path) as talk, talk.programs(tmp_path) as programs:
            code, out, err = await programs.run("-p", talk.sentence, *words)
            talk.check()
    events = lines_of(out)
    failures = [e["text"] for e in events if e["type"] == "tool_finished" and e["is_error"]]
    assert (code, "kiln-chat" in err, failures) == (0, False, [])
    assert events[0]["type"] == "chat"
    assert events[-1]["text"] == LAST_WORDS
    # The questions of build_spec are a person's: none is there, and so each is declined aloud.
    forms = [event for event in events if event["type"] == "form_answered"]
    assert {form["action"] for form in forms} <= {"decline"}
    assert {form["by"] for form in forms} <= {
        "the option --approve of this command, not by a person"
    }


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


async def test_what_no_option_approves_ends_with_code_3_and_its_plan_in_a_pipe(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    script: list[Step] = [*priced_search(project), "It waits for you."]
    with anyio.fail_after(500):
        async with chat_programs(tmp_path, script, PRICED_WORKERS, PRICED_ENVIRONMENT) as programs:
            code, out, err = await programs.run("-p", "Optimise.", "--output", "json")
    result = json.loads(out)
    assert (code, result["exit_code"], "Traceback" in err) == (3, 3, False)
    [plan] = result["approvals_needed"]
    assert plan["tool"] == "improve_prompt"
    assert plan["effects"] == ["spends"]
    assert records(project, "tasks/*/prompts/*/prompt.kiln") == []
    assert sum(programs.server.asked.values()) == 0


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


async def test_ctrl_c_stops_a_turn_whose_result_is_still_written(tmp_path: Path) -> None:
    paragraph = " ".join(f"word{number:03}" for number in range(100))
    script: list[Step] = [Unfinished(paragraph), "It goes on."]
    with anyio.fail_after(300):
        async with chat_programs(tmp_path, script) as programs:
            async with programs.start("-p", "Tell me.", "--output", "stream-json") as process:
                assert process.stdin is not None
                assert process.stdout is not None
                await process.stdin.aclose()
                out = ""
                async for piece in process.stdout:
                    out += piece.decode()
                    if "word099" in out:
                        process.send_signal(signal.SIGINT)
                code = await process.wait()
            chat = lines_of(out)[0]["chat"]
            words = ("--resume", chat, "-p", "Go on.")
            again, said, _ = await programs.run(*words)
    ended, result = lines_of(out)[-2:]
    assert (code, ended["type"], ended["reason"]) == (130, "turn_end", "interrupted")
    assert (result["type"], result["reason"], result["exit_code"]) == ("result", "interrupted", 130)
    assert (again, said) == (0, "It goes on.\n")
    texts = [message["content"] for message in programs.server.requests[1]["messages"]]
    assert any(text.startswith(paragraph) for text in texts)
