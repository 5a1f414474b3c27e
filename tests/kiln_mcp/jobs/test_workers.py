"""Three workers on a real Postgres, one of which is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from kiln_mcp.jobs import Job, JobSettings, JobState, ReportProgress
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.llm import BudgetLimit

ROOT = Path(__file__).parents[3]
JOBS, CALLS, AT_ONCE = 9, 120, 12
NAMES = "abc"
DAY_S = 86_400
Workers = list[subprocess.Popen[bytes]]

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
]

WORKER = """
import asyncio, sys
from pathlib import Path
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.llm import EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import Workspace

folder, url, address, limit, name = Path(sys.argv[1]), *sys.argv[2:6]

class Texts(Result):
    different: int

@capability(effect=Effect.READS, title="Ask")
async def ask(workspace: Workspace, number: int, calls: int) -> Texts:
    "Ask so many questions, eight at a time."
    (folder / f"at-work-{name}").touch()
    texts = set()
    left = iter(range(calls))
    async def one():
        for n in left:
            request = ModelRequest("loop/tiny", (Message("user", f"{number}:{n}"),), max_tokens=5)
            texts.add((await workspace.engine.complete(request, asker="ask")).text)
            await workspace.report(len(texts), calls, None)
    await asyncio.gather(*(one() for _ in range(8)))
    return Texts(different=len(texts))

async def main():
    server = ServerSettings("loop", address, concurrency=int(limit))
    engine = EngineSettings(servers=(server,), environment={})
    settings = Settings(home=folder / name, engine=engine, shared_database_url=url)
    async with Catalogue((ask,)).open_workspace(settings) as workspace:
        await workspace.job_client.runner()
        (folder / f"ready-{name}").touch()
        await asyncio.sleep(600)

asyncio.run(main())
"""


class CountingServer(Protocol):
    """The model's server, as conftest.py makes it."""

    questions: list[str]
    address: str
    at_once: int
    latency_s: float

    async def until_asked(self, count: int) -> None: ...


class SettableClock(Protocol):
    """The workers' clock, as conftest.py makes it."""

    environment: dict[str, str]

    def jump(self, seconds: int) -> None: ...


@contextmanager
def working(folder: Path, *arguments: str, **environment: str) -> Generator[Workers]:
    """Start three workers, which are killed in the end."""
    script = folder / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), *arguments, name],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )
        for name in NAMES
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


async def never_here(job: Job, report: ReportProgress) -> dict[str, int]:
    raise AssertionError("this process does no jobs")


async def all_ready(folder: Path) -> None:
    for name in NAMES:
        for _ in range(1200):
            if await anyio.Path(folder, f"ready-{name}").exists():
                break
            await anyio.sleep(0.05)


async def start_all(jobs: JobRunner) -> list[str]:
    # What is on its way at the kill counts as spent: a batch more than the calls is allowed.
    limit = BudgetLimit(calls=CALLS + AT_ONCE)
    ids: list[str] = []
    for number in range(JOBS):
        started = await jobs.start("ask", {"number": number, "calls": CALLS}, limit)
        ids.append(started.id)
    return ids


async def all_ended(jobs: JobRunner, ids: list[str]) -> list[Job]:
    until = time.monotonic() + 90
    return [await jobs.wait(job_id, until - time.monotonic()) for job_id in ids]


async def test_the_work_of_a_killed_worker_is_taken_over_and_the_limits_hold(
    postgres: str, tmp_path: Path, counting: CountingServer
) -> None:
    with working(tmp_path, postgres, counting.address, str(AT_ONCE)) as workers:
        await all_ready(tmp_path)
        async with JobRunner(JobSettings(postgres, at_once=0), never_here) as jobs:
            ids = await start_all(jobs)
            with anyio.fail_after(60):
                await counting.until_asked(JOBS * CALLS // 4)
            # Two of the three may have taken all jobs.
            [busy, *_] = [n for n in NAMES if (tmp_path / f"at-work-{n}").exists()]
            workers[NAMES.index(busy)].kill()
            final = await all_ended(jobs, ids)
    assert [(job.state, job.error) for job in final] == [(JobState.DONE, None)] * JOBS
    assert [job.result for job in final] == [{"different": CALLS}] * JOBS
    assert any(job.attempt > 1 for job in final)
    assert len(set(counting.questions)) == JOBS * CALLS
    # No more than the killed worker had on its way is asked twice.
    assert len(counting.questions) - JOBS * CALLS <= AT_ONCE
    assert counting.at_once == AT_ONCE


async def test_nothing_is_taken_over_because_the_workers_clock_is_set(
    postgres: str, tmp_path: Path, counting: CountingServer, clock: SettableClock
) -> None:
    arguments = postgres, counting.address, str(AT_ONCE)
    counting.latency_s = 0.15  # so that it lasts longer than the silence of a killed worker
    with working(tmp_path, *arguments, **clock.environment):
        await all_ready(tmp_path)
        async with JobRunner(JobSettings(postgres, at_once=0), never_here) as jobs:
            ids = await start_all(jobs)
            for share, jump in ((5, DAY_S), (3, -DAY_S), (2, 400 * DAY_S)):
                with anyio.fail_after(60):
                    await counting.until_asked(JOBS * CALLS // share)
                clock.jump(jump)
            final = await all_ended(jobs, ids)
    assert [(job.state, job.error) for job in final] == [(JobState.DONE, None)] * JOBS
    assert {job.attempt for job in final} == {1}
    assert len(counting.questions) == len(set(counting.questions)) == JOBS * CALLS
    assert counting.at_once == AT_ONCE
    # The time of the work is true, though the clock went forward by a year and more.
    assert all(0 < job.worked_s < 90 for job in final)
