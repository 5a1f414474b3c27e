"""The runner, with DBOS and SQLAlchemy, is opened only for jobs that are there."""

import subprocess
import sys
from pathlib import Path

from kiln_mcp.jobs import Job, JobClient, JobSettings, JobState, ReportProgress
from kiln_mcp.jobs.backlog import has_jobs
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.job_records import ACTIVE_STATES, End
from kiln_mcp.jobs.job_table import JobTable

READ_ONLY = """
import asyncio, sys
from pathlib import Path
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.settings import Settings

home, tools = Path(sys.argv[1]), sys.argv[2:]

async def main():
    catalogue = installed_catalogue()
    settings = Settings(home=home, engine=EngineSettings(environment={}))
    async with catalogue.open_workspace(settings) as workspace:
        await workspace.job_client.run_unfinished()
        async def use(tool, **arguments):
            await call_capability(workspace, catalogue.find(tool), arguments)
        if not (home / "p").exists():
            await use("create_project", name="P", folder=str(home / "p"))
        for tool in tools:
            await use(tool, **({"project": "P"} if tool == "describe_project" else {}))
    print(*sorted({"dbos", "sqlalchemy"} & sys.modules.keys()))

asyncio.run(main())
"""


def imports_of(home: Path, *tools: str) -> str:
    """Return which of DBOS and SQLAlchemy a process imports that calls some capabilities."""
    command = [sys.executable, "-c", READ_ONLY, str(home), *tools]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def end_a_job(home: Path, state: JobState) -> None:
    database = open_database(f"sqlite:///{home / 'jobs.sqlite'}")
    table = JobTable(database)
    table.create_tables()
    job = Job(f"{state.value[:4]}", "run_eval", {"project": "P"})
    table.add(job)
    table.end(job, End(state, {}))
    database.dispose()


def test_a_process_that_only_reads_imports_neither_dbos_nor_sqlalchemy(tmp_path: Path) -> None:
    assert imports_of(tmp_path, "describe_project", "list_models") == ""
    end_a_job(tmp_path, JobState.DONE)
    assert imports_of(tmp_path, "describe_project") == ""


def test_jobs_that_are_listed_import_dbos(tmp_path: Path) -> None:
    end_a_job(tmp_path, JobState.DONE)
    assert imports_of(tmp_path, "check_job") == "dbos sqlalchemy"


async def no_work(job: Job, report: ReportProgress) -> dict[str, int]:
    return {}


async def test_a_job_that_another_process_hands_in_later_is_run(tmp_path: Path) -> None:
    settings = JobSettings(f"sqlite:///{tmp_path / 'jobs.sqlite'}", heartbeat_s=0.05, poll_s=0.02)
    job_client = JobClient(settings, no_work)
    await job_client.run_unfinished()
    assert await job_client.newest() == []
    end_a_job(tmp_path, JobState.DONE)
    await job_client.run_unfinished()
    assert await job_client.count_unfinished() == 0
    database = open_database(settings.database_url)
    JobTable(database).add(Job("later", "run_eval", {}))
    database.dispose()
    await job_client.run_unfinished()
    final = await (await job_client.runner()).wait("later", 10)
    await job_client.close()
    assert final.state is JobState.DONE


def test_a_database_that_cannot_be_read_counts_as_one_with_jobs(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    assert not has_jobs(file, ACTIVE_STATES)
    file.write_bytes(b"no database")
    assert has_jobs(file, ACTIVE_STATES)
