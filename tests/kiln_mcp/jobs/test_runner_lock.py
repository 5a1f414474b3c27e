"""One process of a home does its jobs; the others hand theirs in."""

import asyncio
from pathlib import Path

from kiln_mcp.jobs import Job, JobSettings, JobState, ReportProgress
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.llm import BudgetLimit

Result = dict[str, str]


class Worker:
    """Does jobs, and knows which."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begins: list[str] = []
        self.may_end = asyncio.Event()

    async def work(self, job: Job, report: ReportProgress) -> Result:
        self.begins.append(job.id)
        await report(1, 2, "half")
        await self.may_end.wait()
        return {"by": self.name}


def runner(folder: Path, worker: Worker, at_once: int = 4) -> JobRunner:
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    settings = JobSettings(url, at_once=at_once, heartbeat_s=0.05, poll_s=0.02)
    return JobRunner(settings, worker.work)


async def test_what_another_process_hands_in_is_done_once_by_the_one_whose_turn_it_is(
    tmp_path: Path,
) -> None:
    first, second = Worker("first"), Worker("second")
    async with runner(tmp_path, first) as doing, runner(tmp_path, second) as handing_in:
        job = await handing_in.start("work", {}, BudgetLimit(calls=3))
        while not first.begins:
            job = await handing_in.wait(job.id, 0.2)
        assert job.state in {JobState.WAITING, JobState.RUNNING}
        # Its own eyes on the job, as a command has that waits beside the daemon.
        async with runner(tmp_path, Worker("third")) as watching:
            assert (await watching.wait(job.id, 0.2)).state is JobState.RUNNING
        first.may_end.set()
        final = await handing_in.wait(job.id, 60)
        assert (final.state, final.result) == (JobState.DONE, {"by": "first"})
        assert (await doing.find(job.id)).result == final.result
    assert (first.begins, second.begins) == ([job.id], [])


async def test_a_process_cancels_and_goes_on_with_what_another_does(tmp_path: Path) -> None:
    first, second = Worker("first"), Worker("second")
    async with runner(tmp_path, first), runner(tmp_path, second) as asking:
        job = await asking.start("work", {})
        while not first.begins:
            await asking.wait(job.id, 0.2)
        await asking.cancel(job.id)
        assert (await asking.wait(job.id, 60)).state is JobState.CANCELLED
        first.may_end.set()
        await asking.resume(job.id)
        final = await asking.wait(job.id, 60)
        assert (final.state, final.attempt) == (JobState.DONE, 2)
    assert (first.begins, second.begins) == ([job.id, job.id], [])


async def test_whoever_is_left_takes_the_turn_of_a_process_that_has_ended(tmp_path: Path) -> None:
    first, second, late = Worker("first"), Worker("second"), Worker("late")
    second.may_end.set()
    async with runner(tmp_path, first) as doing:
        job = await doing.start("work", {})
        while not first.begins:
            await doing.wait(job.id, 0.1)
    # One that only hands in leaves the job alone, however long it waits.
    async with runner(tmp_path, late, at_once=0) as handing_in:
        assert (await handing_in.wait(job.id, 2.5)).state is JobState.RUNNING
        async with runner(tmp_path, second):
            final = await handing_in.wait(job.id, 60)
    assert (final.state, final.result) == (JobState.DONE, {"by": "second"})
    assert late.begins == []
