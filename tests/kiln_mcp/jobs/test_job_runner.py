import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import sqlalchemy as sa

from kiln_mcp.errors import WorkbenchError
from kiln_mcp.jobs import Job, JobSettings, JobState, Progress, ReportProgress
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.errors import JobStoreFailure
from kiln_mcp.jobs.job_records import End
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.llm.errors import BudgetSpent
from storage.errors import RecordNotFound, Refusal

Result = dict[str, int]


def quick(folder: Path, pause_within_s: float = 60.0) -> JobSettings:
    """Return settings with which nobody waits long for a heartbeat."""
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    return JobSettings(
        url, pause_within_s=pause_within_s, heartbeat_s=0.05, poll_s=0.02, tell_every_s=0.3
    )


def runner(folder: Path, work: Callable[[Job, ReportProgress], Awaitable[Result]]) -> JobRunner:
    return JobRunner(quick(folder), work)


async def double(job: Job, report: ReportProgress) -> Result:
    number = job.arguments["number"]
    assert isinstance(number, int)
    await report(1, 1, "doubled")
    return {"double": 2 * number}


async def work_forever(job: Job, report: ReportProgress) -> Result:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")


async def is_running(jobs: JobRunner, job_id: str) -> bool:
    """Wait until a job has begun; False if it ended."""
    while (job := await jobs.wait(job_id, 0.05)).state is JobState.WAITING:
        pass
    return job.state is JobState.RUNNING


async def test_a_job_starts_at_once_and_ends_with_its_result(tmp_path: Path) -> None:
    async with runner(tmp_path, double) as jobs:
        job = await jobs.start("double", {"number": 21})
        final = await jobs.wait(job.id, 60)
        assert (final.state, final.result) == (JobState.DONE, {"double": 42})
        assert final.progress.message == "doubled"
        assert [event.text for event in await jobs.events(job.id)] == [
            "Created.",
            "Begun.",
            "Done.",
        ]
        assert [other.id for other in await jobs.newest()] == [job.id]


async def test_the_newest_jobs_come_page_by_page(tmp_path: Path) -> None:
    async with runner(tmp_path, double) as jobs:
        started = [(await jobs.start("double", {"number": number})).id for number in range(5)]
        first = [job.id for job in await jobs.newest(2)]
        rest = [job.id for job in await jobs.newest(9, older_than=first[-1])]
        for job in started:
            await jobs.wait(job, 60)
    assert [*first, *rest] == [*reversed(started)]


async def test_waiting_ends_at_its_time_and_cancelling_ends_the_job(tmp_path: Path) -> None:
    async with runner(tmp_path, work_forever) as jobs:
        job = await jobs.start("never", {})
        assert await is_running(jobs, job.id)
        with pytest.raises(Refusal, match="running"):
            await jobs.resume(job.id)
        await jobs.cancel(job.id)
        assert (await jobs.wait(job.id, 60)).state is JobState.CANCELLED


async def test_who_waits_for_a_job_that_stands_still_hears_of_it_again_and_again(
    tmp_path: Path,
) -> None:
    reports: list[tuple[float, str | None]] = []

    async with runner(tmp_path, work_forever) as jobs:
        job = await jobs.start("never", {})
        assert await is_running(jobs, job.id)

        async def hear(done: float, _total: float | None, message: str | None) -> None:
            reports.append((done, message))
            if len(reports) == 3:
                await jobs.cancel(job.id)

        assert (await jobs.wait(job.id, 60, hear)).state is JobState.CANCELLED
    assert [done for done, _ in reports] == sorted({done for done, _ in reports})
    assert reports[-1][1] == "The job is running."


async def test_a_failed_job_says_why_and_can_be_gone_on_with(tmp_path: Path) -> None:
    async def second_time(job: Job, report: ReportProgress) -> Result:
        if job.attempt == 1:
            raise WorkbenchError("The server is down. Start it.")
        return {"attempt": job.attempt}

    async with runner(tmp_path, second_time) as jobs:
        job = await jobs.start("flaky", {})
        failed = await jobs.wait(job.id, 60)
        assert (failed.state, failed.error) == (JobState.FAILED, "The server is down. Start it.")
        await jobs.resume(job.id)
        assert (await jobs.wait(job.id, 60)).result == {"attempt": 2}
        with pytest.raises(Refusal, match="done"):
            await jobs.resume(job.id)


async def test_the_next_attempt_does_not_seem_to_start_from_nothing(tmp_path: Path) -> None:
    has_reported = asyncio.Event()

    async def work(job: Job, report: ReportProgress) -> Result:
        await report(1, 5, "Asked")
        if job.attempt == 1:
            await report(3, 5, "Asked")
            raise WorkbenchError("The server is down. Start it.")
        has_reported.set()
        return await work_forever(job, report)

    async with runner(tmp_path, work) as jobs:
        job = await jobs.start("work", {})
        failed = await jobs.wait(job.id, 60)
        await jobs.resume(job.id)
        await has_reported.wait()
        current = await jobs.find(job.id)
        await jobs.cancel(job.id)
    assert failed.progress == Progress(3, 5, "Asked")
    assert current.progress == Progress(3, 5, "Going through what was done before: 1 of 3. Asked")


async def test_a_job_at_the_end_of_its_budget_goes_on_with_more(tmp_path: Path) -> None:
    async def spend(job: Job, report: ReportProgress) -> Result:
        if (job.limit.calls or 0) < 10:
            raise BudgetSpent(f"jobs/{job.id}", "calls", "all calls are made", 3)
        return {"calls": 10}

    async with runner(tmp_path, spend) as jobs:
        job = await jobs.start("spend", {}, BudgetLimit(calls=5))
        assert (await jobs.wait(job.id, 60)).state is JobState.STOPPED
        await jobs.resume(job.id, BudgetLimit(calls=10))
        assert (await jobs.wait(job.id, 60)).state is JobState.DONE


DOWN = WorkbenchError("The server is down. Start it.")
SPENT = BudgetSpent("jobs/1", "calls", "all calls are made", 3)


@pytest.mark.parametrize(
    ("error", "state", "sentence"),
    [
        (ExceptionGroup("many", [DOWN, WorkbenchError("Other.")]), JobState.FAILED, str(DOWN)),
        (ExceptionGroup("many", [ValueError("no"), DOWN]), JobState.FAILED, str(DOWN)),
        (ExceptionGroup("outer", [ExceptionGroup("in", [SPENT])]), JobState.STOPPED, str(SPENT)),
        (
            ExceptionGroup("many", [ValueError("no"), KeyError("x")]),
            JobState.FAILED,
            "It broke: ValueError: no",
        ),
    ],
)
async def test_a_job_that_several_errors_end_says_the_one_that_tells_the_most(
    tmp_path: Path, error: Exception, state: JobState, sentence: str
) -> None:
    async def work(job: Job, report: ReportProgress) -> Result:
        raise error

    async with runner(tmp_path, work) as jobs:
        job = await jobs.start("work", {})
        final = await jobs.wait(job.id, 60)
    assert (final.state, final.error) == (state, sentence)


async def test_the_time_of_all_attempts_is_added_up(tmp_path: Path) -> None:
    work_times: list[float] = []

    async def work(job: Job, report: ReportProgress) -> Result:
        work_times.append(job.worked_s)
        if job.attempt < 3:
            raise WorkbenchError("Not yet.")
        return {}

    async with runner(tmp_path, work) as jobs:
        job = await jobs.start("work", {})
        for _ in range(2):
            assert (await jobs.wait(job.id, 60)).state is JobState.FAILED
            await jobs.resume(job.id)
        final = await jobs.wait(job.id, 60)
    assert work_times[0] == 0.0
    assert 0.0 < work_times[1] < work_times[2]
    assert final.worked_s >= work_times[2]


async def test_a_paused_job_rests_when_its_calls_are_held_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    holds: list[str] = []

    async def hold(job_id: str) -> None:
        holds.append(job_id)

    settings = quick(tmp_path)
    async with JobRunner(settings, work_forever, hold) as jobs:
        job = await jobs.start("never", {})
        assert await is_running(jobs, job.id)
        assert (await jobs.pause(job.id)).state is JobState.PAUSING
        assert (await jobs.wait(job.id, 60)).state is JobState.PAUSED
        assert holds == [job.id]
        assert await jobs.count_unfinished() == 0
        assert (await jobs.resume(job.id)).state in {JobState.WAITING, JobState.RUNNING}


async def test_a_pause_does_not_wait_for_ever_for_answers(tmp_path: Path) -> None:
    async def hold(job_id: str) -> None:
        await asyncio.Event().wait()

    settings = quick(tmp_path, pause_within_s=0.2)
    async with JobRunner(settings, work_forever, hold) as jobs:
        job = await jobs.start("never", {})
        await jobs.wait(job.id, 0.3)
        await jobs.pause(job.id)
        assert (await jobs.wait(job.id, 60)).state is JobState.PAUSED


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.PAUSED])
async def test_a_wish_to_stop_outlives_the_process_that_was_to_hear_it(
    tmp_path: Path, state: JobState
) -> None:
    async with runner(tmp_path, work_forever) as jobs:
        job = await jobs.start("never", {})
        await jobs.wait(job.id, 0.3)
        table = JobTable(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
        wish = table.request_cancel if state is JobState.CANCELLED else table.request_pause
        await asyncio.to_thread(wish, job.id)
    async with runner(tmp_path, double) as jobs:
        assert (await jobs.wait(job.id, 60)).state is state


async def test_a_wish_to_stop_is_heard_once_though_a_heartbeat_hears_it_too(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def begin(job: Job, report: ReportProgress) -> Result:
        begun.set()
        return await work_forever(job, report)

    async with runner(tmp_path, begin) as jobs:
        job = (await jobs.start("never", {})).id
        with anyio.fail_after(60):
            await begun.wait()
    JobTable(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")).request_pause(job)
    heard = asyncio.Event()

    async def count_when_heard(job_id: str) -> int:
        await heard.wait()
        return 0

    async def hold_until_it_ends(job_id: str) -> None:
        """Return, so that the heartbeat stops the job, while the job writes its end."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        heard.set()
        for _ in range(4):  # the job and this take turns with the one thread
            await anyio.to_thread.run_sync(int)

    async with JobRunner(quick(tmp_path), double, hold_until_it_ends, count_when_heard) as jobs:
        assert (await jobs.wait(job, 60)).state is JobState.PAUSED


async def test_a_job_goes_on_after_its_process_ended_in_good_order(tmp_path: Path) -> None:
    async with runner(tmp_path, work_forever) as jobs:
        job = await jobs.start("double", {"number": 4})
        with anyio.fail_after(60):
            await jobs.wait(job.id, 0.3)
    async with runner(tmp_path, double) as jobs:
        assert (await jobs.wait(job.id, 60)).result == {"double": 8}


async def test_an_unknown_job_is_refused_with_the_newest(tmp_path: Path) -> None:
    async with runner(tmp_path, double) as jobs:
        job = await jobs.start("double", {"number": 1})
        with pytest.raises(RecordNotFound, match=job.id):
            await jobs.find("nothing")


KILLED = """
import asyncio, sys
from pathlib import Path
from kiln_mcp.jobs import JobSettings
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.llm import Engine, EngineSettings, Message, ModelAnswer, ModelRequest, Usage

folder, calls = Path(sys.argv[1]), int(sys.argv[2])

class Counting:
    async def complete(self, request):
        await asyncio.sleep(0.002)
        with (folder / "sent").open("a") as sent:
            sent.write(request.messages[0].content + "\\n")
        return ModelAnswer(request.messages[0].content, usage=Usage(1, 1))

async def main():
    settings = EngineSettings(response_cache=folder / "responses.sqlite", environment={})
    async with Engine(settings, {"counting": Counting()}) as engine:
        async def work(job, report):
            texts = []
            numbers = iter(range(calls))
            async def worker():
                for n in numbers:
                    request = ModelRequest("counting", (Message("user", str(n)),))
                    texts.append((await engine.complete(request, asker=job.id)).text)
                    await report(len(texts), calls, None)
            await asyncio.gather(*(worker() for _ in range(20)))
            return {"different": len(set(texts)), "all": len(texts)}
        async with JobRunner(JobSettings(f"sqlite:///{folder / 'jobs.sqlite'}"), work) as jobs:
            known = await jobs.newest()
            job = known[0] if known else await jobs.start("count", {})
            job = await jobs.wait(job.id, 100)
            (folder / "result").write_text(f"{job.state} {job.result}")

asyncio.run(main())
"""


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.mark.slow
def test_a_job_killed_again_and_again_ends_with_every_result_once(tmp_path: Path) -> None:
    calls, kills_at = 2000, [200, 600, 601, 1000, 1500, 1900]
    script, requests = tmp_path / "killed.py", tmp_path / "sent"
    script.write_text(KILLED, encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path), str(calls)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    for moment in kills_at:
        process = subprocess.Popen(command, env=environment)
        for _ in range(6000):
            if len(lines(requests)) >= moment:
                break
            time.sleep(0.01)
        process.kill()
        process.wait()
    subprocess.run(command, env=environment, timeout=110, check=True)
    assert (tmp_path / "result").read_text() == "done {'different': 2000, 'all': 2000}"
    assert len(set(lines(requests))) == calls
    # Only calls that were on their way at a kill, 20 at most, may have been sent again.
    assert len(lines(requests)) - calls <= 20 * len(kills_at)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "garbage",
            r"jobs\.sqlite is damaged, or no database\. Move it away, .* Its jobs are forg",
        ),
        ("folder", r"jobs\.sqlite is a folder, where a file has to be\. Move it away"),
        ("half", r"jobs\.sqlite is damaged"),
    ],
)
async def test_a_database_of_jobs_that_is_none_is_named_with_the_next_step(
    tmp_path: Path, kind: str, sentence: str
) -> None:
    file = tmp_path / "jobs.sqlite"
    match kind:
        case "garbage":
            file.write_bytes(b"no database at all " * 1000)
        case "folder":
            file.mkdir()
        case _:
            async with runner(tmp_path, double):
                pass
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for _ in range(2):
        with pytest.raises(JobStoreFailure, match=sentence) as failed:
            await runner(tmp_path, double).__aenter__()
        assert "sql" not in str(failed.value).replace(str(file), "")


async def test_a_job_tells_a_process_that_ended_from_one_that_was_killed(tmp_path: Path) -> None:
    async def begins(jobs: JobRunner, times: int) -> list[str]:
        while True:
            events = [event.text for event in await jobs.events(job.id)]
            if sum(text.startswith("Begun") for text in events) == times:
                return events
            await asyncio.sleep(0.01)

    async with asyncio.timeout(60):
        async with runner(tmp_path, work_forever) as jobs:
            job = await jobs.start("never", {})
            await begins(jobs, 1)
        async with runner(tmp_path, work_forever) as jobs:
            *_, final, second_run = await begins(jobs, 2)
        assert (final, second_run) == (
            "Its process ended; it continues in the next.",
            "Begun again.",
        )
    database = open_database(f"sqlite:///{tmp_path / 'other.sqlite'}")
    table = JobTable(database)
    table.create_tables()
    table.add(job)
    for _ in range(2):  # a killed process writes nothing more
        assert table.begin(job)
    *_, second_run = table.events(job.id)
    assert second_run.text == "Begun again: the process before was killed."
    database.dispose()


def test_a_state_and_its_event_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    table = JobTable(database)
    table.create_tables()
    job = Job("a1", "work", {})
    table.add(job)
    assert table.begin(job)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kiln_job_events RENAME TO hidden"))
    with pytest.raises(JobStoreFailure):
        table.end(job, End(JobState.DONE, {}))
    record = table.find(job.id)
    assert record is not None
    assert record.state is JobState.RUNNING
    database.dispose()


def test_a_database_of_before_gets_the_columns_that_came_later(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    table = JobTable(database)
    table.create_tables()
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kiln_jobs DROP COLUMN plan"))
    table.create_tables()
    table.add(Job("a1", "work", {}, plan="Work."))
    record = table.find("a1")
    assert record is not None
    assert record.plan == "Work."
    database.dispose()
