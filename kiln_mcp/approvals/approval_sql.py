"""The SQL of approvals: one row for each request in any state.

Times are seconds since 1970. `expires_at` holds for requests that nobody answered and for
approvals that nobody used. `day` and what is reserved belong to the daily allowance alone.
"""

from typing import Final, LiteralString

SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tool TEXT NOT NULL,
    title TEXT NOT NULL,
    arguments TEXT NOT NULL CHECK (json_valid(arguments)),
    arguments_fingerprint TEXT NOT NULL,
    plan TEXT NOT NULL CHECK (json_valid(plan)),
    plan_fingerprint TEXT NOT NULL,
    client TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'declined', 'used')),
    door TEXT CHECK (door IN ('elicitation', 'terminal', 'page', 'allowance')),
    asked_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    answered_at REAL,
    used_at REAL,
    day TEXT,
    reserved_usd REAL,
    reserved_calls INTEGER,
    actual_usd REAL,
    actual_calls INTEGER,
    CHECK (state NOT IN ('approved', 'used') OR (door IS NOT NULL AND answered_at IS NOT NULL)),
    CHECK (state <> 'used' OR used_at IS NOT NULL),
    CHECK (door IS NOT 'allowance' OR (day IS NOT NULL AND reserved_usd IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS open_approvals ON approvals (tool, arguments_fingerprint)
    WHERE state IN ('waiting', 'approved');
CREATE INDEX IF NOT EXISTS approvals_by_day ON approvals (day) WHERE day IS NOT NULL;
"""
INSERT: Final[LiteralString] = """
INSERT INTO approvals (id, tool, title, arguments, arguments_fingerprint, plan, plan_fingerprint,
    client, state, asked_at, expires_at)
VALUES (:id, :tool, :title, :arguments, :arguments_fingerprint, :plan, :plan_fingerprint,
    :client, 'waiting', :now, :expires_at)
"""
OPEN: Final[LiteralString] = """
SELECT id FROM approvals
WHERE tool = :tool AND arguments_fingerprint = :arguments_fingerprint
    AND plan_fingerprint = :plan_fingerprint
    AND state IN ('waiting', 'approved') AND expires_at > :now
ORDER BY number DESC LIMIT 1
"""
FIND: Final[LiteralString] = "SELECT * FROM approvals WHERE id = :id"
WAITING: Final[LiteralString] = """
SELECT * FROM approvals
WHERE state = 'waiting' AND expires_at > :now ORDER BY number
"""
COUNT_WAITING: Final[LiteralString] = """
SELECT count(*) FROM approvals WHERE state = 'waiting' AND expires_at > :now
"""
NEWEST: Final[LiteralString] = """
SELECT * FROM approvals ORDER BY number DESC LIMIT :most
"""
ANSWER: Final[LiteralString] = """
UPDATE approvals SET state = :state, door = :door, answered_at = :now
WHERE id = :id AND state = 'waiting' AND expires_at > :now
"""
ANSWER_NOW: Final[LiteralString] = """
UPDATE approvals SET state = :state, door = :door, client = :client, answered_at = :now,
    used_at = :used_at
WHERE id = :id AND state IN ('waiting', 'approved')
"""
CONSUME: Final[LiteralString] = """
UPDATE approvals SET state = 'used', used_at = :now
WHERE id = :id AND state = 'approved' AND expires_at > :now AND tool = :tool
    AND arguments_fingerprint = :arguments_fingerprint AND plan_fingerprint = :plan_fingerprint
"""
RESERVED: Final[LiteralString] = """
SELECT total(coalesce(actual_usd, reserved_usd)),
    coalesce(sum(coalesce(actual_calls, reserved_calls)), 0)
FROM approvals WHERE day = :day
"""
RESERVE: Final[LiteralString] = """
UPDATE approvals SET state = 'used', door = 'allowance', answered_at = :now, used_at = :now,
    day = :day, reserved_usd = :usd, reserved_calls = :calls
WHERE id = :id AND state IN ('waiting', 'approved')
"""
SETTLE: Final[LiteralString] = """
UPDATE approvals SET actual_usd = :usd, actual_calls = :calls WHERE id = :id
"""
SETTLED: Final[LiteralString] = """
SELECT coalesce(actual_usd, 0.0), coalesce(actual_calls, 0) FROM approvals WHERE id = :id
"""
USED_APPROVALS: Final[LiteralString] = """
SELECT id FROM approvals
WHERE state = 'used' AND tool = :tool AND trim(json_extract(arguments, :path)) LIKE '%' || :value
ORDER BY number
"""
