"""What people see of jobs: state, progress, events and results, in our own tables."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, LiteralString

import sqlalchemy as sa
from pydantic import TypeAdapter

from kiln_mcp.jobs import job_sql
from kiln_mcp.jobs.database import database_errors
from kiln_mcp.jobs.job_records import (
    MOST_RECOVERIES,
    ApprovedPlan,
    End,
    Job,
    JobEvent,
    JobState,
    Progress,
    Stop,
)
from kiln_mcp.llm import BudgetLimit

_SET_ASIDE: Final = (
    f"Its process was killed {MOST_RECOVERIES + 1} times without any progress in between, so it is "
    "set aside and does not begin again by itself."
)
_APPROVED_PLAN: Final = TypeAdapter(ApprovedPlan)
SHORTEST_BEGINNING: Final = 4
"""The fewest letters of an id that may stand for it."""
PROCESS_ENDED: Final = "Its process ended; it continues in the next."
"""The event by which an orderly end is told from a kill. Old databases hold it, so it stays."""


class JobTable:
    """The jobs of a database. Its methods block, so they are called in threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def _change(self, statement: LiteralString, event: str = "", **values: object) -> bool:
        """Change a job; write the event with it, so that nobody sees one without the other."""
        moment = time.time()
        with database_errors(self._engine), self._engine.begin() as connection:
            is_changed = (
                connection.execute(sa.text(statement), {"now": moment, **values}).rowcount > 0
            )
            if is_changed and event:
                row = {"now": moment, "id": values["id"], "text": event}
                connection.execute(sa.text(job_sql.INSERT_EVENT), row)
        return is_changed

    def _read(self, statement: LiteralString, **values: object) -> list[Mapping[str, Any]]:
        with database_errors(self._engine), self._engine.connect() as connection:
            rows = connection.execute(sa.text(statement), values).mappings().all()
            return [dict(row) for row in rows]

    def create_tables(self) -> None:
        """Create the tables that are missing, and check that they can be written."""
        with database_errors(self._engine), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # IF NOT EXISTS does not keep workers that start at once from colliding.
                connection.execute(sa.text(job_sql.POSTGRES_LOCK))
            for statement in job_sql.TABLES:
                connection.execute(sa.text(statement))
            inspector = sa.inspect(connection)
            for (table, name), statement in job_sql.ADDED_COLUMNS.items():
                if name not in {column["name"] for column in inspector.get_columns(table)}:
                    connection.execute(sa.text(statement))
            connection.execute(sa.text(job_sql.WRITE_CHECK))

    def add(self, job: Job) -> None:
        """Write a new job."""
        record = job.approved_plan
        self._change(
            job_sql.INSERT_JOB,
            id=job.id,
            capability=job.capability,
            arguments=json.dumps(dict(job.arguments), ensure_ascii=False),
            budget=json.dumps(asdict(job.limit)),
            plan=job.plan,
            agreement=None if record is None else _APPROVED_PLAN.dump_json(record).decode(),
            model=job.model,
            event="Created.",
        )

    def find(self, job_id: str) -> Job | None:
        """Return a job, or None if there is no job with this id."""
        rows = self._read(job_sql.JOB, id=job_id)
        return _job(rows[0]) if rows else None

    def find_all(self, beginning: str) -> list[Job]:
        """Return the job of an id; else two at most of those whose ids begin so, from 4 letters."""
        if (job := self.find(beginning)) is not None:
            return [job]
        if len(beginning) < SHORTEST_BEGINNING:
            return []
        rows = self._read(job_sql.JOBS_BEGINNING, beginning=beginning, size=len(beginning))
        return [_job(row) for row in rows]

    def newest(self, limit: int, older_than: str = "") -> list[Job]:
        """Return the newest jobs, newest first; with an id, those before that job."""
        rows = self._read(job_sql.NEWEST_JOBS, limit=limit, older_than=older_than)
        return [_job(row) for row in rows]

    def unfinished_jobs(self) -> list[Job]:
        """Return the jobs that are not at rest."""
        return [_job(row) for row in self._read(job_sql.UNFINISHED_JOBS)]

    def count_unfinished(self) -> int:
        """Return how many jobs are not at rest."""
        [row] = self._read(job_sql.COUNT_UNFINISHED)
        return int(next(iter(row.values())))

    def begin(self, job: Job, answers: int = 0) -> bool:
        """Mark a job as running; return False if it must not run any more.

        If its last process was killed, this attempt counts as a recovery.

        Args:
            job: The job, as it was when it was to begin.
            answers: The number of its answered calls; new ones are progress.
        """
        previous = self.find(job.id)
        if previous is not None and self._was_killed(previous):
            recoveries = self.count_recovery(previous, answers)
            if recoveries is None:
                return False
            self._change(
                job_sql.WRITE_RECOVERIES,
                id=job.id,
                attempt=job.attempt,
                recoveries=recoveries,
                answers=answers,
            )
        event = self._begin_event(previous or job)
        return self._change(job_sql.BEGIN_ATTEMPT, id=job.id, attempt=job.attempt, event=event)

    def count_recovery(self, job: Job, answers: int) -> int | None:
        """Return the count of recoveries with one more; None if the job was set aside instead.

        Args:
            job: A job whose process was killed.
            answers: The number of its answered calls; new ones are progress.
        """
        recoveries = job.recoveries_with(answers)
        if recoveries <= MOST_RECOVERIES:
            return recoveries
        self.end(job, End(JobState.SET_ASIDE, error=_SET_ASIDE))
        return None

    def _begin_event(self, previous: Job) -> str:
        """Return the event of a begin, from the job as it was right before it."""
        if previous.state is JobState.WAITING:
            return "Begun." if previous.attempt == 1 else f"Gone on with ({previous.attempt})."
        was_killed = self._was_killed(previous)
        return "Begun again: the process before was killed." if was_killed else "Begun again."

    def _was_killed(self, job: Job) -> bool:
        """Return whether the last process of a job ended without a word."""
        if job.state is JobState.WAITING or job.state.at_rest:
            return False
        *_, last = self.events(job.id)
        return last.text != PROCESS_ENDED

    def jobs_set_aside(self) -> list[Job]:
        """Return the newest jobs that are set aside."""
        return [_job(row) for row in self._read(job_sql.JOBS_SET_ASIDE)]

    def write_heartbeat(self, job: Job, worked_s: float) -> None:
        """Write a heartbeat, with the seconds of work of all attempts."""
        self._change(job_sql.WRITE_HEARTBEAT, id=job.id, attempt=job.attempt, worked_s=worked_s)

    def write_progress(self, job: Job, progress: Progress) -> None:
        """Write progress."""
        values = asdict(progress)
        self._change(job_sql.WRITE_PROGRESS, id=job.id, attempt=job.attempt, **values)

    def end(self, job: Job, end: End) -> None:
        """Write how a job ended; write nothing if another attempt has taken over."""
        result = None if end.result is None else json.dumps(dict(end.result), ensure_ascii=False)
        reason = f" {end.error}" if end.error else ""
        self._change(
            job_sql.END_JOB,
            id=job.id,
            attempt=job.attempt,
            state=end.state.value,
            result=result,
            error=end.error,
            stopped_by=None if end.stop is None else json.dumps(_stop_data(end.stop)),
            event=f"{end.state.value.capitalize()}.{reason}",
        )

    def request_cancel(self, job_id: str) -> None:
        """Ask the process of a job to cancel it."""
        self._change(job_sql.REQUEST_CANCEL, id=job_id, event="Asked to stop.")

    def request_pause(self, job_id: str) -> None:
        """Ask the process of a job to pause it once its calls in flight are answered."""
        self._change(job_sql.REQUEST_PAUSE, id=job_id, event="Asked to pause.")

    def next_attempt(
        self, job: Job, limit: BudgetLimit, recoveries: int = 0, answers: int = 0
    ) -> bool:
        """Let a job wait for its next attempt; return False if another process did so first."""
        return self._change(
            job_sql.NEXT_ATTEMPT,
            id=job.id,
            attempt=job.attempt,
            budget=json.dumps(asdict(limit)),
            recoveries=recoveries,
            answers=answers,
        )

    def add_event(self, job_id: str, text: str) -> None:
        """Write an event."""
        self._change(job_sql.INSERT_EVENT, id=job_id, text=text)

    def events(self, job_id: str) -> list[JobEvent]:
        """Return the events of a job, oldest first."""
        rows = self._read(job_sql.EVENTS_OF_JOB, id=job_id)
        return [JobEvent(row["at"], row["text"]) for row in rows]


def _stop_data(stop: Stop) -> Mapping[str, str | float]:
    """Return the stored form of a stop. Databases of users hold it, so its keys stay."""
    return {"kind": stop.kind, "needed": stop.minimum}


def _stop(data: Mapping[str, Any]) -> Stop:
    return Stop(data["kind"], data["needed"])


def _job(row: Mapping[str, Any]) -> Job:
    plan, stop = row["agreement"], row["stopped_by"]
    return Job(
        id=row["id"],
        capability=row["capability"],
        arguments=json.loads(row["arguments"]),
        limit=BudgetLimit(**json.loads(row["budget"])),
        plan=row["plan"],
        approved_plan=None if plan is None else _APPROVED_PLAN.validate_json(plan),
        model=row["model"],
        attempt=row["attempt"],
        state=JobState(row["state"]),
        progress=Progress(row["done"], row["total"], row["message"]),
        result=None if row["result"] is None else json.loads(row["result"]),
        error=row["error"],
        stop=None if stop is None else _stop(json.loads(stop)),
        worked_s=row["worked_s"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        recoveries=row.get("recoveries", 0),
        answers=row.get("answers", 0),
    )
