"""The gate asks models for what is missing, within limits that somebody agreed to."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from anyio import to_thread
from click.testing import CliRunner, Result

from chat_server import serve_chat
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.cli.gate_results import is_allowed_in_pipeline
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from storage import DataSource, ProjectStore, Task, TaskOutput, TaskRun

ITEMS = 12


@dataclass
class YesServer:
    """A model that says yes, at a price."""

    calls: list[str] = field(default_factory=list[str])
    address: str = ""

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(body["messages"][-1]["content"])
        message = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        return web.json_response({"id": "1", "choices": [choice], "usage": usage})


@asynccontextmanager
async def open_server() -> AsyncGenerator[YesServer]:
    server = YesServer()
    async with serve_chat(server.chat) as server.address:
        yield server


async def make_project(home: Path, folder: Path, server: YesServer) -> None:
    await anyio.Path(home).mkdir()
    priced = {"input_usd_per_million": 1, "output_usd_per_million": 1}
    entry = {"name": "loop", "base_url": server.address, **priced}
    await anyio.Path(home / "servers.json").write_text(json.dumps([entry]), encoding="utf-8")
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    tools = installed_catalogue()
    async with open_workspace(settings) as workspace:
        project = {"name": "P", "folder": str(folder), "task": "Answer", "instruction": "Do it."}
        await tools.perform(workspace, "create_project", project)
        own = {"project": str(folder)}
        store = await workspace.open_project(str(folder))
        [task] = await store.children(store.project, Task)
        await add_items(store, task)
        check = {"eval": "Right", "type": "exact_match", "expected_value": "yes"}
        check |= {"test_filter": "tag::test"}
        await tools.perform(workspace, "create_evaluator", {**own, **check})
        config = {"name": "only", "model": "loop/tiny"}
        await tools.perform(workspace, "create_run_config", {**own, **config})


async def add_items(store: ProjectStore, task: Task) -> None:
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with store.transaction() as change:
        for number in range(ITEMS):
            output = TaskOutput(output="yes", source=person)
            change.save(TaskRun(input=f"{number}?", output=output, tags=("test",)), parent=task)


def gate(home: Path, folder: Path, *arguments: str, ci: str = "") -> Result:
    runner = CliRunner(env={"KILN_MCP_HOME": str(home), "CI": ci})
    fixed = ("--project", str(folder), "--run-config", "only", "--at-least", "right=.5")
    return runner.invoke(cli, ["gate", *fixed, *arguments])


async def test_missing_results_are_made_once_somebody_agreed_to_the_price(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "project"
    async with open_server() as server:
        await make_project(home, folder, server)
        run = partial(to_thread.run_sync, abandon_on_cancel=True)
        refused = await run(partial(gate, home, folder, "--run", "--most-usd", "1"))
        assert refused.exit_code == 2
        assert "Nobody agreed to this" in refused.stderr
        assert server.calls == []
        limits = ("--run", "--most-usd", "1", "--most-calls", "50")
        done = await run(partial(gate, home, folder, *limits, ci="true"))
        assert done.exit_code == 0, done.output
        assert len(server.calls) == ITEMS
        again = await run(partial(gate, home, folder, *limits, ci="true"))
        assert again.exit_code == 0
        assert len(server.calls) == ITEMS


async def test_the_limits_of_the_command_stop_the_calls(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "project"
    async with open_server() as server:
        await make_project(home, folder, server)
        work = partial(gate, home, folder, "--run", "--most-calls", "5", ci="true")
        done = await to_thread.run_sync(work)
        assert done.exit_code == 2, done.output
        assert len(server.calls) <= 5


@pytest.mark.parametrize(
    ("highest", "limit", "ci", "is_allowed"),
    [
        (1.0, BudgetLimit(cost_usd=0.5), "true", True),
        (1.0, BudgetLimit(), "true", False),
        (1.0, BudgetLimit(cost_usd=0.5), "", False),
        (None, BudgetLimit(cost_usd=0.5), "true", False),
        (None, BudgetLimit(calls=5), "1", True),
    ],
)
def test_a_pipeline_agrees_by_limits_that_hold(
    highest: float | None, limit: BudgetLimit, ci: str, is_allowed: bool
) -> None:
    plan = Plan("Ask.", calls=10, highest_cost_usd=highest)
    assert is_allowed_in_pipeline(plan, limit, {"CI": ci}) is is_allowed
