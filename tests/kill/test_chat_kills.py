"""kiln-chat killed in the middle of an answer and of a tool call: it goes on where it was."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import pytest

from chat_programs import ChatPrograms, Step, Unfinished, chat_programs
from search_bench import (
    PRICED_ENVIRONMENT,
    PRICED_WORKERS,
    by_demonstrations,
    open_search_bench,
    priced_search,
)

pytestmark = [pytest.mark.kill, pytest.mark.timeout(400)]

PROMPTS = "tasks/*/prompts/*/prompt.kiln"
PARAGRAPH = " ".join(f"word{number:03}" for number in range(200))


async def seen(process: anyio.abc.Process, text: str) -> str:
    """Read standard output until a text has come."""
    assert process.stdout is not None
    out = ""
    while text not in out:
        out += (await process.stdout.receive()).decode()
    return out


def found(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a project that lie at a pattern."""
    return list(folder.glob(pattern))


def said(programs: ChatPrograms, request: int) -> list[dict[str, Any]]:
    """Return the messages of a request to the model."""
    return programs.server.requests[request]["messages"]


async def test_what_was_shown_of_an_answer_is_there_after_a_kill(tmp_path: Path) -> None:
    script: list[Step] = ["I am here.", Unfinished(PARAGRAPH), "It goes on."]
    with anyio.fail_after(300):
        async with chat_programs(tmp_path, script) as programs:
            async with programs.start() as process:
                assert process.stdin is not None
                await process.stdin.send(b"Hello, my number is 4711.\nTell me all.\n")
                await seen(process, "word199")
                while "word199" not in programs.saved:  # noqa: ASYNC110 - it tells nobody
                    await anyio.sleep(0.05)
                process.kill()
                await process.wait()
            [chat] = programs.chats
            code, out, err = await programs.run("--resume", chat, "-p", "Go on.")
    assert (code, "kiln-chat" in err, out) == (0, False, "It goes on.\n")
    texts = [message["content"] for message in said(programs, 2)]
    assert [texts[place].endswith(end) for place, end in ((1, "4711."), (2, "I am here."))]
    assert texts[4].startswith(PARAGRAPH)
    assert "cut off" in texts[4]
    assert len(programs.server.requests) == 3  # no answer was asked for twice


async def test_a_job_that_ran_at_the_kill_is_found_and_nothing_is_paid_twice(
    tmp_path: Path,
) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        project = Path(bench.store.folder)
    script: list[Step] = [
        *priced_search(project, wait_s=100),
        *[[("check_job", {"count": 1, "seconds": 30})]] * 2,
        "It is better.",
    ]
    environment = {**PRICED_ENVIRONMENT, "KILN_MCP_DAEMON": "on"}
    approve = ("--approve", "spends", "--output", "stream-json")
    with anyio.fail_after(380):
        async with chat_programs(
            tmp_path, script, PRICED_WORKERS, environment, pause_s=0.2
        ) as programs:
            try:
                async with programs.start("-p", "Optimise.", *approve) as process:
                    assert process.stdin is not None
                    await process.stdin.aclose()
                    await seen(process, '"name": "improve_prompt", "arguments"')
                    while len(programs.server.asked) < 10:  # noqa: ASYNC110 - it tells nobody
                        await anyio.sleep(0.1)
                    process.kill()
                    await process.wait()
                [chat] = programs.chats
                code, out, _ = await programs.run("--resume", chat, "-p", "Go on.", *approve)
                while not (prompts := found(project, PROMPTS)):  # noqa: ASYNC110 - it tells nobody
                    await anyio.sleep(0.1)
            finally:
                await anyio.to_thread.run_sync(programs.stop_daemon)
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, events[-1]["text"]) == (0, "It is better.")
    checked = [event["text"] for event in events if event["type"] == "tool_finished"]
    assert "capability: improve_prompt" in checked[-1]
    repeated = "The session ended before this was answered. Look at the project"
    assert repeated in json.dumps(said(programs, 2))
    assert max(programs.server.asked.values()) == 1
    assert len(prompts) == 1
    approvals = [event for event in events if event["type"] == "approval_asked"]
    assert approvals == []  # what was approved before the kill is not begun a second time
