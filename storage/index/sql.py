"""All SQL of the index.

A record's row number sorts as its time of creation does (`rows.first_row`), so that pages in the
order of time come from any table or index without sorting.
"""

from typing import Final, LiteralString

VERSION: Final = 6
"""Of the schema; an index of another version is thrown away and built again."""

PRAGMAS: Final[tuple[LiteralString, ...]] = (
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8000",
    "PRAGMA journal_size_limit = 4000000",
)

LAST: Final = 2**63 - 1
"""Higher than every row number."""

GET_VERSION: Final[LiteralString] = "PRAGMA user_version"

SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS records (
    row INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    parent TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    changed_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    below INTEGER NOT NULL CHECK (below IN (0, 1)),
    problem TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS records_by_parent
    ON records (parent, kind, path, changed_ns, size, below);
CREATE INDEX IF NOT EXISTS records_by_id ON records (kind, id);
CREATE INDEX IF NOT EXISTS records_by_kind ON records (kind);
CREATE INDEX IF NOT EXISTS records_with_problems ON records (path) WHERE problem IS NOT NULL;

CREATE TABLE IF NOT EXISTS parents (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE IF NOT EXISTS runs (
    row INTEGER PRIMARY KEY REFERENCES records (row) ON DELETE CASCADE,
    task INTEGER NOT NULL REFERENCES parents (number),
    rating REAL
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (task, row);
CREATE INDEX IF NOT EXISTS runs_by_best ON runs (task, ifnull(rating, -9), row);
CREATE INDEX IF NOT EXISTS runs_by_worst ON runs (task, ifnull(rating, 9), row);

CREATE TABLE IF NOT EXISTS facets (
    task INTEGER NOT NULL REFERENCES parents (number),
    facet TEXT NOT NULL,
    row INTEGER NOT NULL REFERENCES runs (row) ON DELETE CASCADE,
    PRIMARY KEY (task, facet, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS facets_by_row ON facets (row);

CREATE TABLE IF NOT EXISTS scores (
    row INTEGER NOT NULL REFERENCES records (row) ON DELETE CASCADE,
    judge INTEGER NOT NULL REFERENCES parents (number),
    run_config_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (judge, run_config_id, key, item_id, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scores_by_row ON scores (row);

CREATE VIRTUAL TABLE IF NOT EXISTS texts
    USING fts5 (input, output, marks, tokenize = "unicode61 categories 'L* M* N* Co'");
PRAGMA user_version = 6;
"""

# Building.

STATES: Final[LiteralString] = """
SELECT path, changed_ns, size, below FROM records
WHERE parent = :parent AND kind = :kind AND path > :after AND path <= :last ORDER BY path
"""
STATE: Final[LiteralString] = """
SELECT path, changed_ns, size, below FROM records
WHERE parent = :parent AND kind = :kind AND path = :path
"""
ROW_OF: Final[LiteralString] = """
SELECT row FROM records WHERE parent = :parent AND kind = :kind AND path = :path
"""
ROWS_BELOW: Final[LiteralString] = """
WITH RECURSIVE under (row, path) AS (
    SELECT row, path FROM records WHERE parent = :path
    UNION SELECT records.row, records.path FROM records JOIN under ON records.parent = under.path
)
SELECT row FROM under
"""
LAST_ROW: Final[LiteralString] = "SELECT max(row) FROM records WHERE row >= :first AND row < :end"

FORGET: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM texts WHERE rowid = :row",
    "DELETE FROM facets WHERE row = :row",
    "DELETE FROM scores WHERE row = :row",
    "DELETE FROM runs WHERE row = :row",
    "DELETE FROM records WHERE row = :row",
)
ADD_RECORD: Final[LiteralString] = """
INSERT INTO records (row, path, parent, kind, id, name, folded, changed_ns, size, below, problem)
VALUES (:row, :path, :parent, :kind, :id, :name, :folded, :changed_ns, :size, :below, :problem)
"""
ADD_PARENT: Final[LiteralString] = "INSERT OR IGNORE INTO parents (path) VALUES (:path)"
NUMBER_OF: Final[LiteralString] = "SELECT number FROM parents WHERE path = :path"
ADD_RUN: Final[LiteralString] = "INSERT INTO runs (row, task, rating) VALUES (:row, :task, :rating)"
ADD_FACET: Final[LiteralString] = "INSERT INTO facets (task, facet, row) VALUES (?, ?, ?)"
ADD_SCORE: Final[LiteralString] = """
INSERT OR REPLACE INTO scores (row, judge, run_config_id, item_id, key, value)
VALUES (?, ?, ?, ?, ?, ?)
"""
ADD_TEXT: Final[LiteralString] = (
    "INSERT INTO texts (rowid, input, output, marks) VALUES (?, ?, ?, ?)"
)

# Asking.

PROBLEMS: Final[LiteralString] = """
SELECT path, problem FROM records WHERE problem IS NOT NULL ORDER BY path
"""
COUNTS: Final[LiteralString] = """
SELECT kind, count(*) FROM records WHERE parent = :parent AND problem IS NULL GROUP BY kind
"""
BY_ID: Final[LiteralString] = """
SELECT path FROM records WHERE kind = :kind AND id = :id AND problem IS NULL
ORDER BY length(path), path
"""
DUPLICATES: Final[LiteralString] = """
SELECT kind, id, path FROM records
WHERE (kind, id) IN (
    SELECT kind, id FROM records GROUP BY kind, id
    HAVING count(*) > 1 AND id NOT IN ('', '000000000000')
)
ORDER BY kind, id, length(path), path
"""
"""Records that cannot be read, or say no id, are kept under these two."""
NAMES: Final[LiteralString] = """
SELECT path, id, name, folded FROM records
WHERE parent = :parent AND kind = :kind AND problem IS NULL ORDER BY row
"""
PAGE_OF_KIND: Final[LiteralString] = """
SELECT path, row, NULL FROM records INDEXED BY records_by_kind
WHERE kind = :kind AND problem IS NULL AND instr(folded, :text) AND row < :last
ORDER BY row DESC LIMIT :limit
"""
COUNT_KIND: Final[LiteralString] = """
SELECT count(*) - (SELECT count(*) FROM records WHERE kind = :kind AND problem IS NOT NULL)
FROM records WHERE kind = :kind
"""
COUNT_NAMED: Final[LiteralString] = """
SELECT count(*) FROM records WHERE kind = :kind AND problem IS NULL AND instr(folded, :text)
"""
TAGS: Final[LiteralString] = """
SELECT substr(facet, 5), count(*) FROM facets
WHERE task = :task AND facet >= 'tag:' AND facet < 'tag;'
GROUP BY facet ORDER BY count(*) DESC, facet
"""
SCORE_TABLE: Final[LiteralString] = """
SELECT parents.path, run_config_id, key, count(DISTINCT item_id), avg(value)
FROM parents JOIN scores ON scores.judge = parents.number
WHERE parents.path GLOB :judges AND run_config_id <> ''
GROUP BY judge, run_config_id, key ORDER BY parents.path, key, avg(value) DESC
"""

SCORE_COUNTS: Final[LiteralString] = """
SELECT parents.path, run_config_id, count(DISTINCT item_id)
FROM parents JOIN scores ON scores.judge = parents.number
WHERE parents.path GLOB :judges GROUP BY judge, run_config_id ORDER BY parents.path, run_config_id
"""

# Task runs: one of these sources, conditions, one of these orders.

COUNT: Final[LiteralString] = "SELECT count(*) FROM (SELECT 1"
COUNT_WORD: Final[LiteralString] = """
SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH :words LIMIT :most)
"""
COUNT_TASK: Final[LiteralString] = "SELECT count(*) FROM runs WHERE task = :task"
COUNT_FACET: Final[LiteralString] = (
    "SELECT count(*) FROM facets WHERE task = :task AND facet = :facet"
)
AT_MOST_SO_MANY: Final[LiteralString] = " LIMIT :most)"
PAGE: Final[LiteralString] = "SELECT records.path, runs.row, runs.rating"

ALL_RUNS: Final[LiteralString] = " FROM runs"
RUNS_WITH_FACET: Final[LiteralString] = " FROM facets CROSS JOIN runs ON runs.row = facets.row"
RUNS_WITH_WORDS: Final[LiteralString] = " FROM texts CROSS JOIN runs ON runs.row = texts.rowid"
THEIR_FILES: Final[LiteralString] = " CROSS JOIN records ON records.row = runs.row"
OF_TASK: Final[LiteralString] = " WHERE runs.task = :task"
OF_TASK_WITH_FACET: Final[LiteralString] = " WHERE facets.task = :task AND facets.facet = :facet"
MATCHING: Final[LiteralString] = " WHERE texts MATCH :words"

IS: Final[LiteralString] = (
    " AND EXISTS (SELECT 1 FROM facets AS own"
    " WHERE own.task = :task AND own.facet = :value AND own.row = runs.row)"
)
IS_NOT: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM facets AS own"
    " WHERE own.task = :task AND own.facet = :value AND own.row = runs.row)"
)
AT_LEAST: Final[LiteralString] = " AND runs.rating >= :value"
AT_MOST: Final[LiteralString] = " AND runs.rating <= :value"
HAS_WORDS: Final[LiteralString] = (
    " AND runs.row IN (SELECT rowid FROM texts WHERE texts MATCH :value)"
)

# A page starts after the last row of the page before it.
BEFORE: Final[LiteralString] = " AND {row} < :last"
AFTER: Final[LiteralString] = " AND {row} > :last"
AFTER_BETTER: Final[LiteralString] = (
    " AND (ifnull(runs.rating, -9), runs.row) < (ifnull(:at, -9), :last)"
)
AFTER_WORSE: Final[LiteralString] = (
    " AND (ifnull(runs.rating, 9), runs.row) > (ifnull(:at, 9), :last)"
)
NEWEST_FIRST: Final[LiteralString] = " ORDER BY {row} DESC LIMIT :limit"
OLDEST_FIRST: Final[LiteralString] = " ORDER BY {row} LIMIT :limit"
BEST_FIRST: Final[LiteralString] = (
    " ORDER BY ifnull(runs.rating, -9) DESC, runs.row DESC LIMIT :limit"
)
WORST_FIRST: Final[LiteralString] = " ORDER BY ifnull(runs.rating, 9), runs.row LIMIT :limit"
