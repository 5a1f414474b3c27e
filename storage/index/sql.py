"""All SQL of the index."""

from typing import Final, LiteralString

VERSION: Final = 1
"""Of the schema; an index of another version is thrown away and built again."""

PRAGMAS: Final[tuple[LiteralString, ...]] = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 10000",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",
)

GET_VERSION: Final[LiteralString] = "PRAGMA user_version"

SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS records (
    row INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    parent TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    created_at REAL NOT NULL,
    changed_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    problem TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS records_by_parent ON records (parent, kind, created_at, id);
CREATE INDEX IF NOT EXISTS records_by_id ON records (kind, id);
CREATE INDEX IF NOT EXISTS records_with_problems ON records (path) WHERE problem IS NOT NULL;

CREATE TABLE IF NOT EXISTS runs (
    row INTEGER PRIMARY KEY REFERENCES records (row) ON DELETE CASCADE,
    parent TEXT NOT NULL,
    created_at REAL NOT NULL,
    id TEXT NOT NULL,
    rating REAL,
    is_high INTEGER NOT NULL CHECK (is_high IN (0, 1)),
    thought INTEGER NOT NULL CHECK (thought IN (0, 1)),
    repaired INTEGER NOT NULL CHECK (repaired IN (0, 1)),
    source TEXT NOT NULL,
    run_config_id TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (parent, created_at, id);
CREATE INDEX IF NOT EXISTS runs_by_best ON runs (parent, ifnull(rating, -9), id);
CREATE INDEX IF NOT EXISTS runs_by_worst ON runs (parent, ifnull(rating, 9), id);

CREATE TABLE IF NOT EXISTS tags (
    tag TEXT NOT NULL,
    row INTEGER NOT NULL REFERENCES records (row) ON DELETE CASCADE,
    PRIMARY KEY (tag, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_row ON tags (row, tag);

CREATE TABLE IF NOT EXISTS ratings (
    row INTEGER NOT NULL REFERENCES records (row) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (row, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scores (
    row INTEGER NOT NULL REFERENCES records (row) ON DELETE CASCADE,
    judge TEXT NOT NULL,
    run_config_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (judge, run_config_id, key, item_id, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scores_by_row ON scores (row);

CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (input, output, tokenize = 'unicode61');
PRAGMA user_version = 1;
"""

SEEN: Final[LiteralString] = """
CREATE TEMP TABLE IF NOT EXISTS seen (
    path TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    kind TEXT NOT NULL,
    changed_ns INTEGER NOT NULL,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""
FORGET_SEEN: Final[LiteralString] = "DELETE FROM seen"
NOTE_SEEN: Final[LiteralString] = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)"

GONE: Final[LiteralString] = """
SELECT row FROM records WHERE path NOT IN (SELECT path FROM seen)
"""
CHANGED: Final[LiteralString] = """
SELECT seen.path, seen.parent, seen.kind, seen.changed_ns, seen.size
FROM seen LEFT JOIN records USING (path)
WHERE records.row IS NULL OR records.changed_ns <> seen.changed_ns OR records.size <> seen.size
LIMIT :most
"""

FORGET: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM texts WHERE rowid = :row",
    "DELETE FROM tags WHERE row = :row",
    "DELETE FROM ratings WHERE row = :row",
    "DELETE FROM scores WHERE row = :row",
    "DELETE FROM runs WHERE row = :row",
    "DELETE FROM records WHERE row = :row",
)
ROW_OF: Final[LiteralString] = "SELECT row FROM records WHERE path = :path"
ROWS_BELOW: Final[LiteralString] = "SELECT row FROM records WHERE path = :path OR path GLOB :below"
ADD_RECORD: Final[LiteralString] = """
INSERT INTO records (path, parent, kind, id, name, folded, created_at, changed_ns, size, problem)
VALUES (:path, :parent, :kind, :id, :name, :folded, :created_at, :changed_ns, :size, :problem)
"""
ADD_RUN: Final[LiteralString] = """
INSERT INTO runs (row, parent, created_at, id, rating, is_high, thought, repaired, source,
    run_config_id)
VALUES (:row, :parent, :created_at, :id, :rating, :is_high, :thought, :repaired, :source,
    :run_config_id)
"""
ADD_TAG: Final[LiteralString] = "INSERT OR IGNORE INTO tags (tag, row) VALUES (?, ?)"
ADD_RATING: Final[LiteralString] = "INSERT INTO ratings (row, key, value) VALUES (?, ?, ?)"
ADD_SCORE: Final[LiteralString] = """
INSERT OR REPLACE INTO scores (row, judge, run_config_id, item_id, key, value)
VALUES (?, ?, ?, ?, ?, ?)
"""
ADD_TEXT: Final[LiteralString] = "INSERT INTO texts (rowid, input, output) VALUES (?, ?, ?)"

DATA_VERSION: Final[LiteralString] = "PRAGMA data_version"
PROBLEMS: Final[LiteralString] = """
SELECT path, problem FROM records WHERE problem IS NOT NULL ORDER BY path
"""
CHILDREN: Final[LiteralString] = """
SELECT path FROM records WHERE parent = :parent AND kind = :kind AND problem IS NULL
ORDER BY created_at, id
"""
COUNTS: Final[LiteralString] = """
SELECT kind, count(*) FROM records WHERE parent = :parent AND problem IS NULL GROUP BY kind
"""
BY_ID: Final[LiteralString] = """
SELECT path FROM records WHERE kind = :kind AND id = :id AND problem IS NULL ORDER BY path
"""
NAMES: Final[LiteralString] = """
SELECT path, id, name, folded FROM records
WHERE parent = :parent AND kind = :kind AND problem IS NULL ORDER BY created_at, id
"""
TAGS: Final[LiteralString] = """
SELECT tag, count(*) FROM tags JOIN runs USING (row) WHERE runs.parent = :parent
GROUP BY tag ORDER BY count(*) DESC, tag
"""
SCORE_TABLE: Final[LiteralString] = """
SELECT judge, run_config_id, key, count(DISTINCT item_id), avg(value)
FROM scores WHERE judge GLOB :judges AND run_config_id <> ''
GROUP BY judge, run_config_id, key ORDER BY judge, key, avg(value) DESC
"""

FROM_RUNS: Final[LiteralString] = """
SELECT records.path, runs.created_at, runs.rating, runs.id
FROM runs JOIN records USING (row) WHERE runs.parent = :parent
"""
COUNT_RUNS: Final[LiteralString] = "SELECT count(*) FROM runs WHERE runs.parent = :parent"
HAS_TAG: Final[LiteralString] = (
    " AND EXISTS (SELECT 1 FROM tags WHERE tags.row = runs.row AND tag = :value)"
)
HAS_NOT_TAG: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.row = runs.row AND tag = :value)"
)
OF_SOURCE: Final[LiteralString] = " AND runs.source = :value"
OF_RUN_CONFIG: Final[LiteralString] = " AND runs.run_config_id = :value"
RATED: Final[LiteralString] = " AND runs.rating IS NOT NULL"
UNRATED: Final[LiteralString] = " AND runs.rating IS NULL"
AT_LEAST: Final[LiteralString] = " AND runs.rating >= :value"
AT_MOST: Final[LiteralString] = " AND runs.rating <= :value"
IS_HIGH: Final[LiteralString] = " AND runs.is_high = 1"
THOUGHT: Final[LiteralString] = " AND runs.thought = 1"
UNRATED_FOR: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM ratings WHERE ratings.row = runs.row AND key = :value)"
)
HAS_WORDS: Final[LiteralString] = (
    " AND runs.row IN (SELECT rowid FROM texts WHERE texts MATCH :value)"
)

# A page starts after the last row of the page before it: (sort value, id) beyond (:at, :last).
AFTER_NEWER: Final[LiteralString] = " AND (runs.created_at, runs.id) < (:at, :last)"
AFTER_OLDER: Final[LiteralString] = " AND (runs.created_at, runs.id) > (:at, :last)"
AFTER_BETTER: Final[LiteralString] = (
    " AND (ifnull(runs.rating, -9), runs.id) < (ifnull(:at, -9), :last)"
)
AFTER_WORSE: Final[LiteralString] = (
    " AND (ifnull(runs.rating, 9), runs.id) > (ifnull(:at, 9), :last)"
)
NEWEST_FIRST: Final[LiteralString] = " ORDER BY runs.created_at DESC, runs.id DESC LIMIT :limit"
OLDEST_FIRST: Final[LiteralString] = " ORDER BY runs.created_at, runs.id LIMIT :limit"
BEST_FIRST: Final[LiteralString] = (
    " ORDER BY ifnull(runs.rating, -9) DESC, runs.id DESC LIMIT :limit"
)
WORST_FIRST: Final[LiteralString] = " ORDER BY ifnull(runs.rating, 9), runs.id LIMIT :limit"
