"""All SQL of jobs, for SQLite and Postgres.

The tables lie beside those of DBOS. Times are only shown: the order follows numbers, because a
clock may be set.
"""

from collections.abc import Mapping
from typing import Final, LiteralString

TABLES: Final[tuple[LiteralString, ...]] = (
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
ADDED_COLUMNS: Final[Mapping[tuple[str, str], LiteralString]] = {
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
"""Columns of later versions, each with the statement that adds it to an older database."""
POSTGRES_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock(7355608)"
WRITE_CHECK: Final[LiteralString] = "UPDATE kiln_jobs SET number = number WHERE id = ''"
INSERT_JOB: Final[LiteralString] = """
INSERT INTO kiln_jobs (id, capability, arguments, budget, plan, agreement, model, attempt, state,
    done, total, message, created_at, changed_at, number)
SELECT :id, :capability, :arguments, :budget, :plan, :agreement, :model, 1, 'waiting',
    0, NULL, '', :now, :now, coalesce(max(number), 0) + 1 FROM kiln_jobs
"""
JOB: Final[LiteralString] = "SELECT * FROM kiln_jobs WHERE id = :id"
JOBS_BEGINNING: Final[LiteralString] = """
SELECT * FROM kiln_jobs WHERE substr(id, 1, :size) = :beginning LIMIT 2
"""
NEWEST_JOBS: Final[LiteralString] = """
SELECT * FROM kiln_jobs
WHERE :older_than = '' OR number < (SELECT number FROM kiln_jobs WHERE id = :older_than)
ORDER BY number DESC, created_at DESC, id DESC LIMIT :limit
"""
BEGIN_ATTEMPT: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'running' ELSE state END
WHERE id = :id AND attempt = :attempt AND state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
WRITE_PROGRESS: Final[LiteralString] = """
UPDATE kiln_jobs SET
    recoveries = CASE WHEN :done > done THEN 0 ELSE recoveries END,
    done = :done, total = :total, message = :message, changed_at = :now
WHERE id = :id AND attempt = :attempt
"""
WRITE_HEARTBEAT: Final[LiteralString] = """
UPDATE kiln_jobs SET worked_s = :worked_s, changed_at = CASE
    WHEN state IN ('waiting', 'running', 'cancelling', 'pausing') THEN :now ELSE changed_at END
WHERE id = :id AND attempt = :attempt
"""
END_JOB: Final[LiteralString] = """
UPDATE kiln_jobs SET state = :state, result = :result, error = :error, stopped_by = :stopped_by,
    changed_at = :now
WHERE id = :id AND attempt = :attempt AND state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
REQUEST_CANCEL: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE 'cancelling' END
WHERE id = :id AND state IN ('waiting', 'running', 'pausing')
"""
REQUEST_PAUSE: Final[LiteralString] = """
UPDATE kiln_jobs SET changed_at = :now,
    state = CASE state WHEN 'waiting' THEN 'paused' ELSE 'pausing' END
WHERE id = :id AND state IN ('waiting', 'running')
"""
NEXT_ATTEMPT: Final[LiteralString] = """
UPDATE kiln_jobs SET attempt = attempt + 1, error = NULL, stopped_by = NULL, budget = :budget,
    changed_at = :now, recoveries = :recoveries, answers = :answers,
    state = CASE WHEN state IN ('cancelling', 'pausing') THEN state ELSE 'waiting' END
WHERE id = :id AND attempt = :attempt
"""
WRITE_RECOVERIES: Final[LiteralString] = """
UPDATE kiln_jobs SET recoveries = :recoveries, answers = :answers, changed_at = :now
WHERE id = :id AND attempt = :attempt
"""
JOBS_SET_ASIDE: Final[LiteralString] = """
SELECT * FROM kiln_jobs WHERE state = 'set aside' ORDER BY number DESC LIMIT 20
"""
UNFINISHED_JOBS: Final[LiteralString] = """
SELECT * FROM kiln_jobs WHERE state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
COUNT_UNFINISHED: Final[LiteralString] = """
SELECT count(*) FROM kiln_jobs WHERE state IN ('waiting', 'running', 'cancelling', 'pausing')
"""
INSERT_EVENT: Final[LiteralString] = """
INSERT INTO kiln_job_events (job_id, at, text, number)
SELECT :id, :now, :text, coalesce(max(number), 0) + 1 FROM kiln_job_events WHERE job_id = :id
"""
EVENTS_OF_JOB: Final[LiteralString] = """
SELECT at, text FROM kiln_job_events WHERE job_id = :id ORDER BY number, at
"""
