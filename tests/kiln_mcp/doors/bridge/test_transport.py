"""What goes through the bridge in both directions, with the daemon in this process."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
import anyio.to_thread
import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.client.extension import (
    ClaimContext,
    ClientExtension,
    NotificationBinding,
    ResultClaim,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from pydantic import Field

from bridge_client import BRIDGE
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.doors.bridge import Daemon, Exchange
from kiln_mcp.doors.daemon import serve
from kiln_mcp.llm import EngineSettings
from kiln_mcp.operations.models.answers import ModelList
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace

ROOT = Path(__file__).parents[4]
ERAS = ("auto", "legacy")
Era = Literal["auto", "legacy"]


class Done(Result):
    done: str


@capability(effect=Effect.SPENDS, title="Pay")
async def pay(
    workspace: Workspace, amount: Annotated[float, Field(description="US dollars.")]
) -> Proposal[Done]:
    """Pay an amount."""

    async def carry_out() -> Done:
        await workspace.report(1, 2, "half")
        await workspace.report(2, 2, "whole")
        return Done(done=f"paid {amount}")

    return Proposal(Plan(f"Pay ${amount}.", calls=1, highest_cost_usd=amount), carry_out)


@dataclass(slots=True)
class Lingering:
    """A capability that never ends by itself, seen from outside."""

    calls: int = 0
    begun: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)

    def catalogue(self) -> Catalogue:
        @capability(effect=Effect.SPENDS, title="Linger")
        async def linger(workspace: Workspace) -> Done:
            """Stay until cancelled."""
            self.calls += 1
            self.begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.ended.set()
            return Done(done="never")

        @capability(effect=Effect.SPENDS, title="Linger in a job", runs=Runs.AS_JOB)
        async def linger_on(workspace: Workspace) -> Proposal[Done]:
            """Stay until the job is cancelled."""

            async def stay() -> Done:
                self.begun.set()
                await anyio.sleep_forever()
                return Done(done="never")

            return Proposal(Plan("Stay.", calls=1), stay)

        own = (pay, linger, linger_on)
        return Catalogue((*installed_catalogue().capabilities, *own))


@asynccontextmanager
async def serving(home: Path, catalogue: Catalogue) -> AsyncGenerator[None]:
    """Serve a home in this process while the block lasts."""
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    there = Daemon(home)

    def stop() -> None:
        with Exchange(there.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            settings = Settings(home=home, engine=engine, poll_s=0.05)
            group.start_soon(partial(serve, settings, catalogue))
            for _ in range(500):
                if (home / "daemon.json").exists():
                    break
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(there.find)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(stop)


def through_the_bridge(home: Path, **more: str) -> StdioServerParameters:
    kept = {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}
    kept.pop("KILN_MCP_MODEL", None)
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env={**kept, **more})


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancelled_call_ends_in_the_daemon_and_is_not_made_again(
    tmp_path: Path, era: Era
) -> None:
    lingering = Lingering()
    async with (
        serving(tmp_path, lingering.catalogue()),
        Client(through_the_bridge(tmp_path), mode=era) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(client.call_tool, "linger")
        await lingering.begun.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await lingering.ended.wait()
            assert (await client.list_tools()).tools
    assert lingering.calls == 1


@pytest.mark.parametrize("era", ERAS)
async def test_progress_comes_through(tmp_path: Path, era: Era) -> None:
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with (
        serving(tmp_path, Lingering().catalogue()),
        Client(through_the_bridge(tmp_path), mode=era) as client,
    ):
        await client.call_tool("pay", {"amount": 0.0}, progress_callback=hear)
    assert heard == ["half", "whole"]


@pytest.mark.parametrize("era", ERAS)
async def test_the_person_is_asked_through_the_bridge(tmp_path: Path, era: Era) -> None:
    asked: list[str] = []

    async def agree(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"agree": True})

    async with (
        serving(tmp_path, Lingering().catalogue()),
        Client(through_the_bridge(tmp_path), mode=era, elicitation_callback=agree) as client,
    ):
        paid = await client.call_tool("pay", {"amount": 3.0})
    assert paid.structured_content == {"done": "paid 3.0"}
    assert asked == ["Pay $3.0. About 1 model call, at most about $3.0000."]


async def test_the_question_to_the_person_comes_on_the_stream_of_its_call(tmp_path: Path) -> None:
    def first_words() -> bytes:
        known = Daemon(tmp_path)
        known.find()

        def post(headers: dict[str, str], **message: object) -> Exchange:
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            exchange = Exchange(known.address, "POST", "/mcp", headers, body)
            exchange.send()
            return exchange

        about: dict[str, object] = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "bare", "version": "1"},
        }
        with post({}, method="initialize", params=about, id=1) as begun:
            session = {"mcp-session-id": begun.headers["mcp-session-id"]}
        with post(session, method="notifications/initialized", params={}):
            pass
        # No stream for all else was ever opened.
        call = {"name": "pay", "arguments": {"amount": 1}}
        with post(session, method="tools/call", params=call, id=2) as paid:
            messages = paid.messages()
            question = next(messages)
            # A daemon that ends would wait for the call, and the call for its answer.
            with post(session, id=json.loads(question)["id"], result={"action": "decline"}):
                next(messages)
            return question

    async with serving(tmp_path, Lingering().catalogue()):
        with anyio.fail_after(60):
            heard = await anyio.to_thread.run_sync(first_words, abandon_on_cancel=True)
    assert json.loads(heard)["method"] == "elicitation/create"


async def linger_as_job(client: Client) -> str:
    started = await client.call_tool("linger_on", {"wait_s": 0})
    assert started.structured_content is not None
    return str(started.structured_content["job"])


async def test_a_subscriber_of_the_handshake_era_hears_of_changes(tmp_path: Path) -> None:
    changed = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            changed.set()

    async with (
        serving(tmp_path, Lingering().catalogue()),
        Client(through_the_bridge(tmp_path), mode="legacy", message_handler=hear) as client,
    ):
        job = await linger_as_job(client)
        params = types.SubscribeRequestParams(uri=f"kiln://jobs/{job}")
        await client.session.send_request(types.SubscribeRequest(params=params), types.EmptyResult)
        await client.call_tool("stop_job", {"job": job})
        await changed.wait()


async def test_a_listener_hears_of_changes(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, Lingering().catalogue()),
        Client(through_the_bridge(tmp_path), mode="auto") as client,
    ):
        job = await linger_as_job(client)
        uri = f"kiln://jobs/{job}"
        async with client.listen(resource_subscriptions=[uri]) as heard:
            await client.call_tool("stop_job", {"job": job})
            assert await anext(aiter(heard)) == ResourceUpdated(uri)


class TaskParams(types.RequestParams):
    task_id: str


class TaskRequest(types.Request[TaskParams, str]):
    name_param = "taskId"


class TaskState(types.Result):
    status: str


class TaskTold(types.NotificationParams):
    task_id: str
    status: str


class NewTask(types.Result):
    result_type: Literal["task"] = "task"
    task_id: str


class TasksClient(ClientExtension):
    """A client that follows its tasks itself."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[NewTask]]:
        async def follow(task: NewTask, context: ClaimContext) -> types.CallToolResult:
            return types.CallToolResult(content=[])

        return [ResultClaim(result_type="task", model=NewTask, resolve=follow)]

    def __init__(self) -> None:
        self.cancelled = anyio.Event()

    def notifications(self) -> Sequence[NotificationBinding[TaskTold]]:
        async def hear(told: TaskTold) -> None:
            if told.status == "cancelled":
                self.cancelled.set()

        return [
            NotificationBinding(method="notifications/tasks", params_type=TaskTold, handler=hear)
        ]


async def test_a_task_is_followed_and_cancelled_through_the_bridge(tmp_path: Path) -> None:
    lingering = Lingering()
    bridge = through_the_bridge(tmp_path)
    async with (
        serving(tmp_path, lingering.catalogue()),
        Client(bridge, mode="auto", extensions=[TasksClient()]) as client,
    ):
        task = await client.session.call_tool("linger_on", {}, allow_claimed=True)
        assert isinstance(task, NewTask)
        await lingering.begun.wait()
        params = TaskParams(task_id=task.task_id)
        look = TaskRequest(method="tasks/get", params=params)
        assert (await client.session.send_request(look, TaskState)).status == "working"
        cancel = TaskRequest(method="tasks/cancel", params=params)
        await client.session.send_request(cancel, types.EmptyResult)
        await client.call_tool("check_job", {"job": task.task_id})
        assert (await client.session.send_request(look, TaskState)).status == "cancelled"


@asynccontextmanager
async def over_http(home: Path, tasks: TasksClient) -> AsyncGenerator[Client]:
    """Connect to the daemon without the bridge."""
    there = Daemon(home)
    await anyio.to_thread.run_sync(there.find)
    headers = {"Authorization": f"Bearer {there.address.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(
            f"http://127.0.0.1:{there.address.port}/mcp", http_client=http
        )
        async with Client(transport, mode="auto", extensions=[tasks]) as client:
            yield client


@pytest.mark.parametrize("bridged", [True, False])
async def test_a_task_that_is_listened_for_is_told_of(tmp_path: Path, bridged: bool) -> None:
    tasks = TasksClient()
    bridge = through_the_bridge(tmp_path)
    async with (
        serving(tmp_path, Lingering().catalogue()),
        Client(bridge, mode="auto", extensions=[tasks])
        if bridged
        else over_http(tmp_path, tasks) as client,
        anyio.create_task_group() as group,
    ):
        task = await client.session.call_tool("linger_on", {}, allow_claimed=True)
        assert isinstance(task, NewTask)
        wanted = types.SubscriptionFilter.model_validate({"taskIds": [task.task_id]})
        params = types.SubscriptionsListenRequestParams(notifications=wanted)
        listen = types.SubscriptionsListenRequest(params=params)
        group.start_soon(client.session.send_request, listen, types.SubscriptionsListenResult)
        await client.call_tool("stop_job", {"job": task.task_id})
        await tasks.cancelled.wait()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_every_client_has_the_default_model_that_it_was_configured_with(
    tmp_path: Path, era: Era
) -> None:
    found: list[str] = []
    async with serving(tmp_path, Lingering().catalogue()):
        for more in ({"KILN_MCP_MODEL": "host"}, {}, {"KILN_MCP_MODEL": "local/größer"}):
            async with Client(through_the_bridge(tmp_path, **more), mode=era) as client:
                listed = await client.call_tool("list_models", {})
                found.append(ModelList.model_validate(listed.structured_content).default)
    assert found == ["host", "embedded", "local/größer"]
