"""Three workers on a real Postgres, one of which is killed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from kiln_mcp.jobs import Job, JobSettings, JobState, ReportProgress
from kiln_mcp.jobs.runner import JobRunner

ROOT = Path(__file__).parents[3]
JOBS, CALLS = 9, 40

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("pg_ctl") is None or sys.platform == "win32",
        reason="no PostgreSQL server program (apt install postgresql)",
    ),
]

WORKER = """
import asyncio, sys
from pathlib import Path
from kiln_mcp.jobs import JobSettings
from kiln_mcp.jobs.runner import JobRunner
from kiln_mcp.llm import Engine, EngineSettings, Message, ModelAnswer, ModelRequest, Usage

folder, url, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Counting:
    async def complete(self, request):
        await asyncio.sleep(0.05)
        with (folder / "sent").open("a") as sent:
            sent.write(request.messages[0].content + "\\n")
        return ModelAnswer("7", usage=Usage(1, 1))

async def main():
    settings = EngineSettings(journal=folder / "journal.sqlite", environment={})
    async with Engine(settings, {"counting": Counting()}) as engine:
        async def work(job, report):
            total = 0
            for n in range(calls):
                message = Message("user", f"{job.arguments['number']}:{n}")
                request = ModelRequest("counting", (message,))
                total += int((await engine.complete(request, asker=job.id)).text)
                await report(n + 1, calls, None)
            return {"total": total}
        async with JobRunner(JobSettings(url, at_once=2), work):
            (folder / f"ready-{sys.argv[4]}").touch()
            await asyncio.sleep(600)

asyncio.run(main())
"""


def start_worker(folder: Path, url: str, name: str) -> subprocess.Popen[bytes]:
    script = folder / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), url, str(CALLS), name],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def never_here(job: Job, report: ReportProgress) -> dict[str, int]:
    raise AssertionError("this process does no jobs")


async def test_the_work_of_a_killed_worker_is_taken_over(postgres: str, tmp_path: Path) -> None:
    workers = [start_worker(tmp_path, postgres, name) for name in "abc"]
    try:
        with anyio.fail_after(60):
            await exist(*(tmp_path / f"ready-{name}" for name in "abc"))
        async with JobRunner(JobSettings(postgres, at_once=0), never_here) as jobs:
            started = [await jobs.start("count", {"number": n}) for n in range(JOBS)]
            await anyio.sleep(1.5)
            workers[0].kill()
            until = time.monotonic() + 90
            ended = [await jobs.wait(job.id, until - time.monotonic()) for job in started]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [job.state for job in ended] == [JobState.DONE] * JOBS
    assert [job.result for job in ended] == [{"total": 7 * CALLS}] * JOBS
    assert any(job.attempt > 1 for job in ended)
    sent = (tmp_path / "sent").read_text(encoding="utf-8").splitlines()
    assert len(set(sent)) == JOBS * CALLS
    # The killed worker had two jobs, each with one call on its way.
    assert len(sent) - JOBS * CALLS <= 2


async def exist(*files: Path) -> None:
    for file in files:
        for _ in range(1200):
            if await anyio.Path(file).exists():
                break
            await anyio.sleep(0.05)
