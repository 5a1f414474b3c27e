"""Who follows a job, or waits for a tool, hears what its calls wait for."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.llm import EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Effect, Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace

ASKS_TO_WAIT = "The server of 'busy/tiny' asks to wait 45 s."


class Text(Result):
    text: str


@capability(effect=Effect.SPENDS, title="Ask once", runs=Runs.AS_JOB)
async def ask_once(workspace: Workspace) -> Proposal[Text]:
    """Ask the busy server."""

    async def ask() -> Text:
        request = ModelRequest("busy/tiny", (Message("user", "Hello?"),), max_tokens=10)
        await workspace.report(3, 10, "asking")
        return Text(text=(await workspace.engine.complete(request, asker="test")).text)

    return Proposal(Plan("Ask once.", calls=1), ask)


@pytest.fixture
async def busy() -> AsyncGenerator[str]:
    """Serve refusals that ask to wait; yield the address."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "45"})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    yield f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


def settings(home: Path, address: str) -> Settings:
    servers = (ServerSettings("busy", address),)
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", servers=servers, environment={}
    )
    return Settings(home=home, engine=engine)


async def test_a_job_says_how_long_the_server_asks_to_wait(tmp_path: Path, busy: str) -> None:
    catalogue = Catalogue((*installed_catalogue().capabilities, ask_once))
    async with catalogue.open_workspace(settings(tmp_path, busy)) as workspace:
        job = (await call_capability(workspace, ask_once, {}, wait_s=0)).job
        with anyio.fail_after(60):
            while (
                current := await service.wait_for_job(workspace, job, 0.2)
            ).message != ASKS_TO_WAIT:
                assert current.state in {"waiting", "running"}
        assert (current.done, current.total) == (3, 10)
        await service.stop_job(workspace, job)


async def test_who_waits_for_a_tool_hears_it_as_progress(tmp_path: Path, busy: str) -> None:
    catalogue = Catalogue((*installed_catalogue().capabilities, ask_once))
    reports: list[tuple[float, float | None, str | None]] = []
    async with (
        catalogue.open_workspace(settings(tmp_path, busy)) as workspace,
        anyio.create_task_group() as group,
    ):

        async def hear(done: float, total: float | None, message: str | None) -> None:
            reports.append((done, total, message))
            if message == ASKS_TO_WAIT:
                group.cancel_scope.cancel()

        with anyio.fail_after(60):
            await ask_once(workspace.with_progress(hear))
    assert reports[0] == (3, 10, "asking")
    done, total, message = reports[-1]
    assert (total, message) == (10, ASKS_TO_WAIT)
    assert done > 3  # the protocol wants each report to be higher than the one before
