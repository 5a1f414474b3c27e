"""What people see of jobs: state, progress, events, results. All SQL of jobs is here.

Beside DBOS's own tables in the same database, SQLite or Postgres. Times are kept to be shown: what
comes first is told by numbers, because a clock may be set.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, LiteralString

import sqlalchemy as sa
from pydantic import TypeAdapter

from kiln_mcp.jobs.database import in_plain_words
from kiln_mcp.jobs.records import (
    MOST_RECOVERIES,
    Agreement,
    End,
    Job,
    JobEvent,
    JobState,
    Progress,
    Stop,
)
from kiln_mcp.llm import BudgetLimit

_TABLES: Final[tuple[LiteralString, ...]] = (
    """
    CREATE TABLE IF NOT EXISTS kiln_jobs (
        id TEXT PRIMARY KEY,
        capability TEXT NOT NULL,
        arguments TEXT NOT NULL,
        budget TEXT NOT NULL,
        plan TEXT NOT NULL DEFAULT '',
        agreement TEXT,
        model TEXT,
        attempt INTEGER NOT NULL CHECK (attempt >= 1),
        state TEXT NOT NULL,
        done DOUBLE PRECISION NOT NULL,
        total DOUBLE PRECISION,
        message TEXT NOT NULL,
        result TEXT,
        error TEXT,
        stopped_by TEXT,
        worked_s DOUBLE PRECISION NOT NULL DEFAULT 0,
        created_at DOUBLE PRECISION NOT NULL,
        changed_at DOUBLE PRECISION NOT NULL,
        number BIGINT NOT NULL DEFAULT 0,
        recoveries INTEGER NOT NULL DEFAULT 0,
        answers BIGINT NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS kiln_job_events (
        job_id TEXT NOT NULL REFERENCES kiln_jobs (id),
        at DOUBLE PRECISION NOT NULL,
        text TEXT NOT NULL,
        number BIGINT NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX IF NOT EXISTS kiln_events_by_job ON kiln_job_events (job_id, at)",
)
_ADDED: Final[Mapping[tuple[str, str], LiteralString]] = {
    ("kiln_jobs", "worked_s"): """
        ALTER TABLE kiln_jobs ADD COLUMN worked_s DOUBLE PRECISION NOT NULL DEFAULT 0
        """,
    ("kiln_jobs", "plan"): "ALTER TABLE kiln_jobs ADD COLUMN plan TEXT NOT NULL DEFAULT ''",
    ("kiln_jobs", "agreement"): "ALTER TABLE kiln_jobs ADD COLUMN agreement TEXT",
    ("kiln_jobs", "model"): "ALTER TABLE kiln_jobs ADD COLUMN model TEXT",
    ("kiln_jobs", "stopped_by"): "ALTER TABLE kiln_jobs ADD COLUMN stopped_by TEXT",
    ("kiln_jobs", "number"): """
        ALTER TABLE kiln_jobs ADD COLUMN number BIGINT NOT NULL DEFAULT 0
        """,
    ("kiln_jobs", "recoveries"): """
        ALTER TABLE kiln_jobs ADD COLUMN recoveries INTEGER NOT NULL DEFAULT 0
        """,
    ("kiln_jobs", "answers"): """
        ALTER TABLE kiln_jobs ADD COLUMN answers BIGINT NOT NULL DEFAULT 0
        """,
    ("kiln_job_events", "number"): """
        ALTER TABLE kiln_job_events ADD COLUMN number BIGINT NOT NULL DEFAULT 0
        """,
}
"""Columns that came later, and what adds them to a database of before."""
_ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock(7355608)"
_CHANGE_NOTHING: Final[LiteralString] = "UPDATE kiln_jobs SET number = number WHERE id = ''"
_INSERT: Final[LiteralString] = """
INSERT INTO kiln_jobs (id, capability, arguments, budget, plan, agreement, model, attempt, state,
    done, total, message, created_at, changed_at, number)
SELECT :id, :capability, :arguments, :budget, :plan, :agreement, :model, 1, 'waiting',
    0, NULL, '', :now, :now, coalesce(max(number), 0) + 1 FROM kiln_jobs
"""
_ONE: Final[LiteralString] = "SELECT * FROM kiln_jobs WHERE id = :id"
_NEWEST: Final[LiteralString] = """
SELECT * FROM kiln_jobs ORDER BY number DESC, created_at DESC, id DESC LIMIT :most
"""
_BEGIN: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'running' ELSE state END
WHERE id = :id AND attempt = :attempt AND state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
_PROGRESS: Final[LiteralString] = """
UPDATE kiln_jobs SET
    recoveries = CASE WHEN :done > done THEN 0 ELSE recoveries END,
    done = :done, total = :total, message = :message, changed_at = :now
WHERE id = :id AND attempt = :attempt
"""
_ALIVE: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now, worked_s = :worked_s
WHERE id = :id AND attempt = :attempt
"""
_END: Final[LiteralString] = """
UPDATE kiln_jobs SET state = :state, result = :result, error = :error, stopped_by = :stopped_by,
    changed_at = :now
WHERE id = :id AND attempt = :attempt AND state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
_CANCEL: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE 'cancelling' END
WHERE id = :id AND state IN ('waiting', 'running', 'pausing')
"""
_PAUSE: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'paused' ELSE 'pausing' END
WHERE id = :id AND state IN ('waiting', 'running')
"""
_NEXT_ATTEMPT: Final[LiteralString] = """
UPDATE kiln_jobs SET attempt = attempt + 1, error = NULL, stopped_by = NULL, budget = :budget,
    changed_at = :now, recoveries = :recoveries, answers = :answers,
    state = CASE WHEN state IN ('cancelling', 'pausing') THEN state ELSE 'waiting' END
WHERE id = :id AND attempt = :attempt
"""
_RECOVERED: Final[LiteralString] = """
UPDATE kiln_jobs SET recoveries = :recoveries, answers = :answers, changed_at = :now
WHERE id = :id AND attempt = :attempt
"""
_SET_ASIDE: Final[LiteralString] = """
SELECT * FROM kiln_jobs WHERE state = 'set aside' ORDER BY number DESC LIMIT 20
"""
_UNFINISHED: Final[LiteralString] = """
SELECT * FROM kiln_jobs WHERE state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
_COUNT_UNFINISHED: Final[LiteralString] = """
SELECT count(*) FROM kiln_jobs WHERE state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
_TELL: Final[LiteralString] = """
INSERT INTO kiln_job_events (job_id, at, text, number)
SELECT :id, :now, :text, coalesce(max(number), 0) + 1 FROM kiln_job_events WHERE job_id = :id
"""
_EVENTS: Final[LiteralString] = """
SELECT at, text FROM kiln_job_events WHERE job_id = :id ORDER BY number, at
"""


_WHY_SET_ASIDE: Final = (
    f"Its process was killed {MOST_RECOVERIES + 1} times without any progress in between, so it is "
    "set aside and does not begin again by itself."
)
_AGREEMENT: Final = TypeAdapter(Agreement)
PROCESS_ENDED: Final = "Its process ended; it goes on in the next."


class Ledger:
    """The jobs of a database; its methods block, so call them in threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def _run(self, statement: LiteralString, **values: object) -> sa.CursorResult[Any]:
        with self._engine.begin() as connection:
            return connection.execute(sa.text(statement), values)

    def _change(self, statement: LiteralString, **values: object) -> bool:
        with in_plain_words(self._engine):
            return self._run(statement, now=time.time(), **values).rowcount > 0

    def _read(self, statement: LiteralString, **values: object) -> list[Mapping[str, Any]]:
        with in_plain_words(self._engine), self._engine.connect() as connection:
            rows = connection.execute(sa.text(statement), values).mappings().all()
            return [dict(row) for row in rows]

    def create_tables(self) -> None:
        """Make the tables where they are not there yet, and see that they can be written."""
        with in_plain_words(self._engine), self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # IF NOT EXISTS does not keep workers that start at once from colliding.
                connection.execute(sa.text(_ONE_AT_A_TIME))
            for statement in _TABLES:
                connection.execute(sa.text(statement))
            known = sa.inspect(connection)
            for (table, added), statement in _ADDED.items():
                if added not in {column["name"] for column in known.get_columns(table)}:
                    connection.execute(sa.text(statement))
            connection.execute(sa.text(_CHANGE_NOTHING))

    def add(self, job: Job) -> None:
        """Write a new job down."""
        self._change(
            _INSERT,
            id=job.id,
            capability=job.capability,
            arguments=json.dumps(dict(job.arguments), ensure_ascii=False),
            budget=json.dumps(asdict(job.limit)),
            plan=job.plan,
            agreement=None
            if job.agreement is None
            else _AGREEMENT.dump_json(job.agreement).decode(),
            model=job.model,
        )
        self.tell(job.id, "Created.")

    def find(self, job_id: str) -> Job | None:
        """Return a job, or None where there is none of this id."""
        rows = self._read(_ONE, id=job_id)
        return _job(rows[0]) if rows else None

    def newest(self, most: int) -> list[Job]:
        """Return the newest jobs, newest first."""
        return [_job(row) for row in self._read(_NEWEST, most=most)]

    def unfinished(self) -> list[Job]:
        """Return the jobs that are not at rest."""
        return [_job(row) for row in self._read(_UNFINISHED)]

    def count_unfinished(self) -> int:
        """Return how many jobs are not at rest."""
        [row] = self._read(_COUNT_UNFINISHED)
        return int(next(iter(row.values())))

    def begin(self, job: Job, answers: int = 0) -> bool:
        """Say that a job runs; False where it must not any more.

        Args:
            job: The job, as it was when it was to begin.
            answers: How many of its calls are answered; new ones are progress.
        """
        before = self.find(job.id)
        if before is not None and self._was_killed(before):
            recoveries = before.recoveries_with(answers)
            if recoveries > MOST_RECOVERIES:
                self.set_aside(before)
                return False
            counts = {"recoveries": recoveries, "answers": answers}
            self._change(_RECOVERED, id=job.id, attempt=job.attempt, **counts)
        began = self._change(_BEGIN, id=job.id, attempt=job.attempt)
        if began:
            self.tell(job.id, self._how_begun(before or job))
        return began

    def _how_begun(self, before: Job) -> str:
        """Return how a job was begun that was as it is here right before."""
        if before.state is JobState.WAITING:
            return "Begun." if before.attempt == 1 else f"Gone on with ({before.attempt})."
        was_killed = self._was_killed(before)
        return "Begun again: the process before was killed." if was_killed else "Begun again."

    def _was_killed(self, before: Job) -> bool:
        """Return whether the process that was at a job has ended without a word."""
        if before.state is JobState.WAITING or before.state.at_rest:
            return False
        *_, last = self.events(before.id)
        return last.text != PROCESS_ENDED

    def set_aside(self, job: Job) -> None:
        """Let a job rest whose process was killed again and again without progress."""
        self.end(job, End(JobState.SET_ASIDE, error=_WHY_SET_ASIDE))

    def all_set_aside(self) -> list[Job]:
        """Return the newest jobs that are set aside."""
        return [_job(row) for row in self._read(_SET_ASIDE)]

    def keep_alive(self, job: Job, worked_s: float) -> None:
        """Show a sign of life, and for how long the job was worked at in all."""
        self._change(_ALIVE, id=job.id, attempt=job.attempt, worked_s=worked_s)

    def report(self, job: Job, progress: Progress) -> None:
        """Write progress down."""
        self._change(_PROGRESS, id=job.id, attempt=job.attempt, **asdict(progress))

    def end(self, job: Job, end: End) -> None:
        """Write down how a job ended; nothing where another attempt has taken over."""
        result = None if end.result is None else json.dumps(dict(end.result), ensure_ascii=False)
        stop = None if end.stop is None else json.dumps(asdict(end.stop))
        if self._change(
            _END,
            id=job.id,
            attempt=job.attempt,
            state=end.state.value,
            result=result,
            error=end.error,
            stopped_by=stop,
        ):
            self.tell(
                job.id, f"{end.state.value.capitalize()}." + (f" {end.error}" if end.error else "")
            )

    def cancel(self, job_id: str) -> None:
        """Ask for a job to be given up."""
        if self._change(_CANCEL, id=job_id):
            self.tell(job_id, "Asked to stop.")

    def pause(self, job_id: str) -> None:
        """Ask for a job to rest once the calls on their way are answered."""
        if self._change(_PAUSE, id=job_id):
            self.tell(job_id, "Asked to pause.")

    def next_attempt(
        self, job: Job, limit: BudgetLimit, recoveries: int = 0, answers: int = 0
    ) -> bool:
        """Make a job wait for another attempt; False where somebody else did so first."""
        return self._change(
            _NEXT_ATTEMPT,
            id=job.id,
            attempt=job.attempt,
            budget=json.dumps(asdict(limit)),
            recoveries=recoveries,
            answers=answers,
        )

    def tell(self, job_id: str, text: str) -> None:
        """Keep an event."""
        self._change(_TELL, id=job_id, text=text)

    def events(self, job_id: str) -> list[JobEvent]:
        """Return a job's events, oldest first."""
        return [JobEvent(row["at"], row["text"]) for row in self._read(_EVENTS, id=job_id)]


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        capability=row["capability"],
        arguments=json.loads(row["arguments"]),
        limit=BudgetLimit(**json.loads(row["budget"])),
        plan=row["plan"],
        agreement=None if row["agreement"] is None else _AGREEMENT.validate_json(row["agreement"]),
        model=row["model"],
        attempt=row["attempt"],
        state=JobState(row["state"]),
        progress=Progress(row["done"], row["total"], row["message"]),
        result=None if row["result"] is None else json.loads(row["result"]),
        error=row["error"],
        stop=None if row["stopped_by"] is None else Stop(**json.loads(row["stopped_by"])),
        worked_s=row["worked_s"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        recoveries=row.get("recoveries", 0),
        answers=row.get("answers", 0),
    )
