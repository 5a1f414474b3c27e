"""The real daemon answers others while one client's logic hangs, breaks or takes memory."""

import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from bridge_client import BRIDGE
from kiln_mcp.doors.bridge import Daemon, Exchange
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalOutputScore,
    ExactMatch,
    PatternMatch,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunSplit,
)

ROOT = Path(__file__).parents[3]
LONGEST_ANSWER_S = 2.0
ENDLESS = "a" * 40 + "!"
TOO_BIG = "(final_message|fromjson).x"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def stdio(home: Path) -> StdioServerParameters:
    variables = {
        **os.environ,
        "KILN_MCP_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "KILN_MCP_ITEM_SECONDS": "1",
    }
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=variables)


@asynccontextmanager
async def clients(home: Path) -> AsyncGenerator[tuple[Client, Client]]:
    """Connect two clients to one daemon, and end the daemon after them."""
    try:
        async with Client(stdio(home)) as one, Client(stdio(home)) as other:
            yield one, other
    finally:
        daemon = Daemon(home)
        if (home / "daemon.json").exists():
            daemon.find()
            with Exchange(daemon.address, "POST", "/stop", {}, b"") as exchange:
                exchange.send()


async def call(client: Client, tool: str, /, **arguments: object) -> Mapping[str, Any]:
    answer = await client.call_tool(tool, json.loads(json.dumps(arguments)))
    return {"is_error": answer.is_error, **(answer.structured_content or {})}


JUDGES = {
    "pattern": PatternMatch(pattern="^(?=a)(a+)+$"),
    "memory": ExactMatch(expected_value="x", value_expression="'a'|center(3000000000)"),
    "batch": ExactMatch(expected_value="x", value_expression="[1]|batch(100000000,1)|list"),
    "depth": ExactMatch(expected_value="x", value_expression=TOO_BIG),
}


async def make_project(folder: Path, items: int) -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with await ProjectStore.create(folder, Project(name="Hostile")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        score = EvalOutputScore(name="Right", type="pass_fail")
        async with store.transaction() as change:
            for _ in range(items):
                output = TaskOutput(output=ENDLESS, source=person)
                run = TaskRun(input="x", input_source=person, output=output, tags=("golden",))
                change.save(run, parent=task)
        for name, properties in JUDGES.items():
            measured = Eval(
                name=name,
                output_scores=(score,),
                splits={"test": TaskRunSplit(filter_id="tag::test")},
                eval_configs_filter_id="tag::golden",
            )
            saved = await store.save(measured, parent=task)
            judge = EvalConfig(name=name, config_type="v2", properties=properties)
            await store.save(judge, parent=saved)


async def longest_answer(client: Client, stop: anyio.Event) -> float:
    """Ask the daemon repeatedly until told to stop; return the longest wait."""
    longest = 0.0
    while not stop.is_set():
        started = time.monotonic()
        answer = await call(client, "show_results", project="Hostile")
        assert not answer["is_error"]
        longest = max(longest, time.monotonic() - started)
        await anyio.sleep(0.05)
    return longest


async def test_a_second_client_is_answered_while_hostile_logic_runs(tmp_path: Path) -> None:
    await make_project(tmp_path / "p", items=4)
    async with clients(tmp_path / "home") as (hostile, other):
        await call(other, "describe_project", project=str(tmp_path / "p"))
        stop, waits = anyio.Event(), list[float]()
        refused: Mapping[str, Any] = {}

        async def watch() -> None:
            waits.append(await longest_answer(other, stop))

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            for name in JUDGES:
                with anyio.fail_after(60):
                    drawn = await call(
                        hostile, "draw_items_to_label", project="Hostile", eval=name, count=2
                    )
                assert "unexpected error" not in json.dumps(drawn)
            refused = await call(
                hostile,
                "create_project",
                project="Hostile",
                task="Endless",
                instruction="x",
                output_schema={"type": "object", "properties": {"a": {"$ref": "#/$defs/No"}}},
            )
            stop.set()
    assert refused["is_error"]
    assert waits[0] < LONGEST_ANSWER_S
