"""A job whose process is killed three times is set aside, and waits for the person."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kiln_mcp.jobs import Job, JobClient, JobSettings, JobState, Progress, ReportProgress
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.job_records import MOST_RECOVERIES
from kiln_mcp.jobs.job_runner import JobRunner
from kiln_mcp.jobs.job_table import PROCESS_ENDED, JobTable


@pytest.fixture
def table(tmp_path: Path) -> JobTable:
    created = JobTable(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
    created.create_tables()
    return created


def kill_until_set_aside(table: JobTable) -> Job:
    job = Job("a1", "run_eval", {"project": "Maps"})
    table.add(job)
    for _ in range(1 + MOST_RECOVERIES):
        assert table.begin(job)  # by a process that is killed then
    assert not table.begin(job)
    set_aside = table.find("a1")
    assert set_aside is not None
    return set_aside


def test_a_job_is_set_aside_after_three_recoveries_without_progress(table: JobTable) -> None:
    job = kill_until_set_aside(table)
    assert (job.state, job.state.at_rest) == (JobState.SET_ASIDE, True)
    assert job.error == (
        "Its process was killed 4 times without any progress in between, so it is set aside and "
        "does not begin again by itself."
    )
    assert table.unfinished_jobs() == []


def test_a_job_that_makes_progress_is_recovered_as_often_as_it_is_killed(table: JobTable) -> None:
    job = Job("a1", "run_eval", {})
    table.add(job)
    for done in range(10):
        assert table.begin(job)
        table.write_progress(job, Progress(done + 1, 10))


def test_new_answers_of_models_are_progress_and_the_same_ones_are_not(table: JobTable) -> None:
    job = Job("a1", "run_eval", {})
    table.add(job)
    for answers in range(10):
        assert table.begin(job, answers)
    begins = 0
    while begins < 10 and table.begin(job, 9):
        begins += 1
    assert begins == MOST_RECOVERIES - 1


def test_progress_that_only_repeats_what_was_done_does_not_count(table: JobTable) -> None:
    job = Job("a1", "run_eval", {})
    table.add(job)
    begins = 0
    while begins < 10 and table.begin(job):
        table.write_progress(job, Progress(5, 10))
        begins += 1
    assert begins == 1 + MOST_RECOVERIES


def test_a_process_that_ends_in_order_does_not_count(table: JobTable) -> None:
    job = Job("a1", "run_eval", {})
    table.add(job)
    for _ in range(10):
        assert table.begin(job)
        table.add_event(job.id, PROCESS_ENDED)


async def test_only_a_person_takes_it_up_again(table: JobTable, tmp_path: Path) -> None:
    kill_until_set_aside(table)
    begins: list[str] = []

    async def work(job: Job, report: ReportProgress) -> dict[str, int]:
        begins.append(job.id)
        return {"scored": 1}

    settings = JobSettings(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    job_client = JobClient(settings, work)
    assert [job.id for job in await job_client.jobs_set_aside()] == ["a1"]
    async with JobRunner(settings, work) as jobs:
        waiting_job = await jobs.wait("a1", 5)
        assert (waiting_job.state, begins) == (JobState.SET_ASIDE, [])
        await jobs.resume("a1")
        final = await jobs.wait("a1", 10)
    assert (final.state, begins, final.recoveries) == (JobState.DONE, ["a1"], 0)
    assert await job_client.jobs_set_aside() == []


def test_a_database_of_before_gets_the_count(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    table = JobTable(database)
    table.create_tables()
    table.add(Job("a1", "run_eval", {}))
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE kiln_jobs DROP COLUMN recoveries"))
    table.create_tables()
    holds = table.find("a1")
    assert holds is not None
    assert holds.recoveries == 0
