"""A daemon that is killed under its clients, and one that ends by itself."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import mcp_types as types
import pytest
from aiohttp import web
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.extension import (
    ClaimContext,
    ClientExtension,
    NotificationBinding,
    ResultClaim,
)
from mcp.client.subscriptions import ResourceUpdated

from bridge_client import BRIDGE
from kiln_mcp.doors.bridge import Daemon, Exchange
from work_orders import Order, take_orders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SERVE: Final = "import sys; from kiln_mcp.doors.cli import main; sys.exit(main())"
ROOT: Final = Path(__file__).parents[4]
ERAS: Final = ("auto", "legacy")
Era = Literal["auto", "legacy"]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def stdio(home: Path) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment(home))


def pid_of(home: Path) -> int:
    return json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"]


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    home = tmp_path / "home"
    yield home
    if (home / "daemon.json").exists():
        running = Daemon(home)
        running.find()
        with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()


def state_of(result: types.CallToolResult) -> str:
    content: Mapping[str, Any] = result.structured_content or {}
    return str(content["state"])


async def long_call(client: Client, folder: Path) -> dict[str, Any]:
    """Return arguments with which build_spec waits until the assistant answers an order."""
    for tool, arguments in (
        ("create_project", {"name": "Tried", "folder": str(folder)}),
        ("create_project", {"project": str(folder), "task": "Help", "instruction": "Help."}),
    ):
        assert not (await client.call_tool(tool, arguments)).is_error
    return {"project": str(folder), "wish": "Offer refunds.", "model": "host"}


async def until_ordered(client: Client) -> Order:
    """Wait until an order lies there for the assistant, and take it."""
    while True:
        if orders := await take_orders(client):
            return orders[0]
        await anyio.sleep(0.05)


async def answer(client: Client, order: Order) -> None:
    said = json.dumps(least(order.schema)) if order.schema else "Refunds."
    given = {"answers": [{"id": order.id, "answer": said}]}
    handed = await client.call_tool("answer_work_orders", {**given, "wait_s": 0})
    assert (handed.structured_content or {})["accepted"] == 1, handed


async def answer_all(client: Client) -> None:
    while True:
        await answer(client, await until_ordered(client))


def least(schema: Mapping[str, Any]) -> object:
    """Return a small value that fits a schema, with everything in it."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: least(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [least(schema["items"])] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return "Offer a refund."


@asynccontextmanager
async def silent_model(home: Path) -> AsyncGenerator[anyio.Event]:
    """Serve a free model that never answers, as `silent/m`; yield what is set when it is asked.

    A call that asks the host returns as soon as its question waits; one that asks this model stays
    open.
    """
    was_asked, released = anyio.Event(), anyio.Event()

    async def complete(request: web.Request) -> web.Response:
        was_asked.set()
        await released.wait()
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = {
        "name": "silent",
        "base_url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
        "input_usd_per_million": 0,
        "output_usd_per_million": 0,
    }
    await anyio.Path(home).mkdir(mode=0o700)
    await anyio.Path(home / "servers.json").write_text(json.dumps([server]), encoding="utf-8")
    try:
        yield was_asked
    finally:
        released.set()
        await runner.cleanup()


class NewTask(types.Result):
    result_type: Literal["task"] = "task"
    task_id: str


class TaskNow(types.Result):
    status: str
    status_message: str
    result: types.CallToolResult | None = None


class TaskTold(types.NotificationParams):
    task_id: str
    status: str


class TaskParams(types.RequestParams):
    task_id: str


class TaskRequest(types.Request[TaskParams, str]):
    name_param = "taskId"


class TasksClient(ClientExtension):
    """A client that declares tasks."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[NewTask]]:
        async def follow(task: NewTask, context: ClaimContext) -> types.CallToolResult:
            return types.CallToolResult(content=[])

        return [ResultClaim(result_type="task", model=NewTask, resolve=follow)]

    def __init__(self) -> None:
        self.told: list[TaskTold] = []
        self._news = anyio.Event()

    def notifications(self) -> Sequence[NotificationBinding[TaskTold]]:
        async def hear(told: TaskTold) -> None:
            self.told.append(told)
            self._news.set()
            self._news = anyio.Event()

        return [
            NotificationBinding(method="notifications/tasks", params_type=TaskTold, handler=hear)
        ]

    async def hears_of(self, status: str) -> None:
        """Wait until it has heard that a task is so."""
        while all(told.status != status for told in self.told):
            await self._news.wait()


async def listen_for(client: Client, task: str) -> None:
    """Listen for as long as this is not cancelled."""
    wanted = types.SubscriptionFilter.model_validate({"taskIds": [task]})
    params = types.SubscriptionsListenRequestParams(notifications=wanted)
    request = types.SubscriptionsListenRequest(params=params)
    await client.session.send_request(request, types.SubscriptionsListenResult)


async def draft_as_task(client: Client, arguments: dict[str, Any]) -> str:
    task = await client.session.call_tool("build_spec", arguments, allow_claimed=True)
    assert isinstance(task, NewTask), task
    return task.task_id


async def look(client: Client, task: str) -> TaskNow:
    request = TaskRequest(method="tasks/get", params=TaskParams(task_id=task))
    return await client.session.send_request(request, TaskNow)


async def test_a_task_goes_on_after_its_daemon_was_killed(home: Path, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with Client(stdio(home), mode="auto", extensions=[TasksClient()]) as client:
            task = await draft_as_task(client, await long_call(client, tmp_path / "project"))
            order = await until_ordered(client)
            os.kill(pid_of(home), signal.SIGKILL)
            assert (await look(client, task)).status == "working"
            await answer(client, order)  # it was taken from the daemon that is dead
            async with anyio.create_task_group() as group:
                group.start_soon(answer_all, client)
                while (await look(client, task)).status == "working":
                    await client.call_tool("check_job", {"job": task})
                group.cancel_scope.cancel()
            done = await look(client, task)
    assert done.status == "completed", done
    # The answer was taken: the job went on where it had asked.
    assert "Offer a refund." in str(done.result)


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_its_daemon_was_killed_amid_is_not_made_again_unasked(
    home: Path, tmp_path: Path, era: Era
) -> None:
    refused: list[str] = []

    async def call(client: Client, arguments: dict[str, Any]) -> None:
        with pytest.raises(MCPError) as told:
            await client.call_tool("build_spec", arguments)
        refused.append(str(told.value))

    with anyio.fail_after(60):
        async with silent_model(home) as was_asked, Client(stdio(home), mode=era) as client:
            arguments = await long_call(client, tmp_path / "project")
            async with anyio.create_task_group() as group:
                group.start_soon(call, client, arguments | {"model": "silent/m"})
                await was_asked.wait()
                os.kill(pid_of(home), signal.SIGKILL)
            assert "ended while it worked on build_spec" in refused[0]
            assert not (await client.call_tool("check_job", {})).is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("listed", [True, False])
async def test_who_waits_for_a_job_through_a_kill_just_gets_its_answer(
    home: Path, tmp_path: Path, era: Era, listed: bool
) -> None:
    waited: list[types.CallToolResult] = []
    heard, done = anyio.Event(), anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.set()

    async def wait(client: Client, job: str) -> types.CallToolResult:
        params = types.CallToolRequestParams(name="check_job", arguments={"job": job})
        if listed:
            return await client.call_tool("check_job", {"job": job}, progress_callback=hear)
        # The library's own way lists the tools first.
        request = types.CallToolRequest(params=params)
        heard.set()
        return await client.session.send_request(request, types.CallToolResult)

    async def wait_until_it_ended(client: Client, job: str) -> None:
        # An order that nobody has taken yet ends a wait too.
        while not waited or state_of(waited[-1]) == "running":
            waited.append(await wait(client, job))
        done.set()

    with anyio.fail_after(60):
        async with (
            Client(stdio(home), mode=era) as client,
            Client(stdio(home), mode=era) as other,
            anyio.create_task_group() as group,
        ):
            given = await long_call(client if listed else other, tmp_path / "project")
            started = await other.call_tool("build_spec", {**given, "wait_s": 0})
            assert started.structured_content is not None
            job = str(started.structured_content["job"])
            group.start_soon(wait_until_it_ended, client, job)
            await heard.wait()
            await until_ordered(other)
            os.kill(pid_of(home), signal.SIGKILL)
            await other.call_tool("check_job", {})
            await other.call_tool("stop_job", {"job": job})
            await done.wait()
    assert state_of(waited[-1]) == "cancelled", waited


async def test_a_listener_is_heard_of_again_by_the_next_daemon(home: Path, tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with Client(stdio(home), mode="auto", extensions=[TasksClient()]) as client:
            task = await draft_as_task(client, await long_call(client, tmp_path / "project"))
            uri = f"kiln://jobs/{task}"
            async with client.listen(resource_subscriptions=[uri]) as heard:
                os.kill(pid_of(home), signal.SIGKILL)
                await look(client, task)
                await client.call_tool("stop_job", {"job": task})
                async for change in heard:
                    assert change == ResourceUpdated(uri)
                    break


async def test_a_task_that_is_listened_for_is_told_of_across_a_kill(
    home: Path, tmp_path: Path
) -> None:
    tasks = TasksClient()
    with anyio.fail_after(60):
        async with (
            Client(stdio(home), mode="auto", extensions=[tasks]) as client,
            anyio.create_task_group() as group,
        ):
            task = await draft_as_task(client, await long_call(client, tmp_path / "project"))
            group.start_soon(listen_for, client, task)
            await tasks.hears_of("working")
            os.kill(pid_of(home), signal.SIGKILL)
            await look(client, task)
            await client.call_tool("stop_job", {"job": task})
            await tasks.hears_of("cancelled")
            group.cancel_scope.cancel()


async def test_a_daemon_ends_by_itself_once_nobody_asks_and_no_job_is_to_be_done(
    home: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SERVE, "serve", "--idle-minutes", "0.01"]
    async with await anyio.open_process(
        command, env=environment(home), stdout=None, stderr=None
    ) as daemon:
        try:
            with anyio.fail_after(60):
                for _ in range(1000):
                    if (home / "daemon.json").exists():
                        break
                    await anyio.sleep(0.02)
                async with Client(stdio(home), mode="auto", extensions=[TasksClient()]) as client:
                    task = await draft_as_task(
                        client, await long_call(client, tmp_path / "project")
                    )
                with anyio.move_on_after(6):  # ten times as long as it may be idle
                    await daemon.wait()
                assert pid_of(home) == daemon.pid
                async with Client(stdio(home), mode="legacy") as client:
                    await client.call_tool("stop_job", {"job": task})
                assert await daemon.wait() == 0
        finally:
            if daemon.returncode is None:
                daemon.kill()
    assert not (home / "daemon.json").exists()
