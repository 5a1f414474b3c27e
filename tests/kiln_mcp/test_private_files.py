"""What people asked and models answered is for the owner of the files alone."""

import stat
import sys
from pathlib import Path

import pytest
from anyio import Path as AsyncPath

from kiln_mcp.home import prepare_home
from kiln_mcp.jobs import JobSettings
from kiln_mcp.jobs.job_records import Job, JsonObject, ReportProgress
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest
from scripted_model import ScriptedModel


async def test_nobody_else_may_read_response_cache_jobs_and_orders_in_a_home_that_all_may_enter(
    tmp_path: Path,
) -> None:
    async def work(job: Job, report: ReportProgress) -> JsonObject:
        return {}

    settings = EngineSettings(tmp_path / "responses", orders=tmp_path / "orders", environment={})
    request = ModelRequest("m", (Message("user", "Hello?"),))
    async with (
        Engine(settings, {"m": ScriptedModel(["hi"])}) as engine,
        JobRunner(JobSettings(f"sqlite:///{tmp_path / 'jobs'}"), work) as jobs,
    ):
        await engine.complete(request, asker="test")
        await engine.orders.add(request)
        await jobs.start("capability", {})
        files = {
            file.name: (await file.stat()).st_mode & 0o777
            async for file in AsyncPath(tmp_path).iterdir()
        }
    assert files.keys() >= {
        "responses",
        "responses-wal",
        "jobs",
        "jobs-wal",
        "orders",
        "orders-wal",
    }
    open_to_all = {name for name, rights in files.items() if rights != 0o600}
    assert open_to_all <= {"jobs.lock"}  # is empty


@pytest.mark.skipif(sys.platform == "win32", reason="rights of Unix")
def test_a_home_that_all_may_enter_is_narrowed_and_a_folder_for_all_is_not(tmp_path: Path) -> None:
    home, shared, elsewhere = tmp_path / "home", tmp_path / "shared", tmp_path / "elsewhere"
    for folder, rights in ((home, 0o755), (shared, 0o1777)):
        folder.mkdir()
        folder.chmod(rights)
    elsewhere.write_text("x", "utf-8")
    elsewhere.chmod(0o644)
    (home / "responses.sqlite").write_text("answers", "utf-8")
    (home / "responses.sqlite").chmod(0o644)
    (home / "link").symlink_to(elsewhere)
    prepare_home(home)
    prepare_home(shared)
    rights = {
        p.name: stat.S_IMODE(p.stat().st_mode) for p in (*tmp_path.iterdir(), *home.iterdir())
    }
    assert rights == {
        "home": 0o700,
        "shared": 0o1777,
        "elsewhere": 0o644,
        "responses.sqlite": 0o600,
        "link": 0o644,
    }
