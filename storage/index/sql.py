"""All SQL of the index.

A stored output may change, as when a fuller export of its trace comes. Its earlier results say
nothing of it then: `present_results` leaves them out.

A record's row number sorts as its time of creation does (`rows.first_row`), so that pages in the
order of time come from any table or index without sorting.
"""

from typing import Final, LiteralString

VERSION: Final = 11
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
    created_us INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    below INTEGER NOT NULL CHECK (below IN (0, 1)),
    problem TEXT,
    copy_of TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS records_by_parent
    ON records (parent, kind, path, changed_ns, size, below);
CREATE INDEX IF NOT EXISTS records_by_id ON records (kind, id);
CREATE INDEX IF NOT EXISTS records_by_kind ON records (kind);
CREATE INDEX IF NOT EXISTS records_with_problems ON records (path) WHERE problem IS NOT NULL;
CREATE INDEX IF NOT EXISTS copies ON records (path) WHERE copy_of IS NOT NULL;

CREATE TABLE IF NOT EXISTS parents (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE IF NOT EXISTS runs (
    row INTEGER PRIMARY KEY REFERENCES records (row) ON DELETE CASCADE,
    task INTEGER NOT NULL REFERENCES parents (number),
    rating REAL,
    rated_us INTEGER,
    item_id TEXT,
    run_config_id TEXT,
    sample INTEGER NOT NULL,
    cost REAL,
    latency_ms REAL,
    tokens INTEGER,
    model TEXT,
    previous_id TEXT,
    fingerprint TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_previous ON runs (task, previous_id)
    WHERE previous_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (task, row);
CREATE INDEX IF NOT EXISTS runs_by_best ON runs (task, ifnull(rating, -9), row);
CREATE INDEX IF NOT EXISTS runs_by_worst ON runs (task, ifnull(rating, 9), row);
CREATE INDEX IF NOT EXISTS runs_of_evals ON runs (task, run_config_id) WHERE item_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS ratings (
    row INTEGER NOT NULL REFERENCES runs (row) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (row, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS facets (
    task INTEGER NOT NULL REFERENCES parents (number),
    facet TEXT NOT NULL,
    row INTEGER NOT NULL REFERENCES runs (row) ON DELETE CASCADE,
    PRIMARY KEY (task, facet, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS facets_by_row ON facets (row);

CREATE TABLE IF NOT EXISTS input_tags (
    row INTEGER NOT NULL REFERENCES records (row) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (row, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS topics (
    row INTEGER PRIMARY KEY REFERENCES records (row) ON DELETE CASCADE,
    topic TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS results (
    row INTEGER PRIMARY KEY REFERENCES records (row) ON DELETE CASCADE,
    evaluator INTEGER NOT NULL REFERENCES parents (number),
    run_config_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    output_id TEXT NOT NULL,
    sample INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    is_skipped INTEGER NOT NULL CHECK (is_skipped IN (0, 1)),
    cost REAL,
    latency_ms REAL,
    fingerprint TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS results_by_evaluator
    ON results (evaluator, run_config_id, item_id, sample, verdict);

CREATE VIEW IF NOT EXISTS present_results AS
    SELECT * FROM results
    WHERE results.fingerprint = '' OR NOT EXISTS (
        SELECT 1 FROM records AS item CROSS JOIN runs AS present ON present.row = item.row
        WHERE item.kind = 'task_run' AND item.id = results.item_id AND item.problem IS NULL
            AND present.fingerprint <> results.fingerprint
    );

CREATE TABLE IF NOT EXISTS scores (
    row INTEGER NOT NULL REFERENCES results (row) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    is_empty INTEGER NOT NULL CHECK (is_empty IN (0, 1)),
    PRIMARY KEY (row, key)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE IF NOT EXISTS texts
    USING fts5 (input, output, marks, tokenize = "unicode61 categories 'L* M* N* Co'");
PRAGMA user_version = 11;
"""

# Building.

STATES: Final[LiteralString] = """
SELECT path, changed_ns, size, below FROM records
WHERE parent = :parent AND kind = :kind AND path > :after AND path <= :last ORDER BY path
"""
PATHS: Final[LiteralString] = """
SELECT path FROM records WHERE parent = :parent AND kind = :kind
"""
STATE: Final[LiteralString] = """
SELECT path, changed_ns, size, below FROM records
WHERE parent = :parent AND kind = :kind AND path = :path
"""
ROW_OF: Final[LiteralString] = """
SELECT row FROM records WHERE parent = :parent AND kind = :kind AND path = :path
"""
ROWS_OF: Final[LiteralString] = """
SELECT path, row FROM records
WHERE parent = :parent AND kind = :kind AND path IN (SELECT value FROM json_each(:paths))
"""
STATES_OF: Final[LiteralString] = """
SELECT path, row, changed_ns, size FROM records
WHERE parent = :parent AND kind = :kind AND path IN (SELECT value FROM json_each(:paths))
    AND problem IS NULL
"""
FACETS_OF: Final[LiteralString] = """
SELECT facets.row, facets.task, facets.facet
FROM json_each(:rows) AS own CROSS JOIN facets ON facets.row = own.value
"""
PARENTS_AMONG: Final[LiteralString] = """
SELECT value FROM json_each(:paths) AS paths
WHERE EXISTS (SELECT 1 FROM records WHERE parent = paths.value)
"""
ROWS_BELOW: Final[LiteralString] = """
WITH RECURSIVE under (row, path) AS (
    SELECT row, path FROM records WHERE parent = :path
    UNION SELECT records.row, records.path FROM records JOIN under ON records.parent = under.path
)
SELECT row FROM under
"""
SIBLINGS: Final[LiteralString] = """
SELECT row, path, copy_of FROM records WHERE kind = :kind AND id = :id AND parent = :parent
"""
IDS_OF_COPIES: Final[LiteralString] = """
SELECT id FROM records
WHERE kind = :kind AND id IN (SELECT value FROM json_each(:ids)) AND parent = :parent
GROUP BY id HAVING count(*) > 1 OR count(copy_of) > 0
"""
COPIES: Final[LiteralString] = """
SELECT path, copy_of FROM records WHERE copy_of IS NOT NULL ORDER BY path
"""
SET_APART: Final[LiteralString] = """
UPDATE records SET copy_of = :copy_of, problem = 'a conflict copy' WHERE row = :row
"""
KEY_OF: Final[LiteralString] = "SELECT path, parent, kind, id FROM records WHERE row = :row"
LAST_ROW: Final[LiteralString] = "SELECT max(row) FROM records WHERE row >= :first AND row < :end"
LAST_ROWS: Final[LiteralString] = """
SELECT value, (
    SELECT max(row) FROM records WHERE row >= firsts.value AND row < firsts.value + :slots
) FROM json_each(:firsts) AS firsts
"""

FORGET_VALUES: Final[tuple[LiteralString, ...]] = (
    "DELETE FROM texts WHERE rowid = :row",
    "DELETE FROM facets WHERE row = :row",
    "DELETE FROM ratings WHERE row = :row",
    "DELETE FROM input_tags WHERE row = :row",
    "DELETE FROM topics WHERE row = :row",
    "DELETE FROM scores WHERE row = :row",
    "DELETE FROM results WHERE row = :row",
    "DELETE FROM runs WHERE row = :row",
)
REMOVE: Final[LiteralString] = "DELETE FROM records WHERE row = :row"
FORGET: Final[tuple[LiteralString, ...]] = (*FORGET_VALUES, REMOVE)
ADD_RECORD: Final[LiteralString] = """
INSERT INTO records (
    row, path, parent, kind, id, name, folded, created_us, changed_ns, size, below, problem
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_PARENT: Final[LiteralString] = "INSERT OR IGNORE INTO parents (path) VALUES (:path)"
NUMBER_OF: Final[LiteralString] = "SELECT number FROM parents WHERE path = :path"
ADD_RUN: Final[LiteralString] = """
INSERT INTO runs (
    row, task, rating, rated_us, item_id, run_config_id, sample, cost, latency_ms, tokens, model,
    previous_id, fingerprint
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_RATING: Final[LiteralString] = "INSERT INTO ratings (row, key, value) VALUES (?, ?, ?)"
ADD_INPUT_TAG: Final[LiteralString] = "INSERT OR IGNORE INTO input_tags (row, tag) VALUES (?, ?)"
SET_STATE: Final[LiteralString] = "UPDATE records SET changed_ns = ?, size = ? WHERE row = ?"
SET_MARKS: Final[LiteralString] = "UPDATE texts SET marks = ? WHERE rowid = ?"
REMOVE_FACET: Final[LiteralString] = "DELETE FROM facets WHERE task = ? AND facet = ? AND row = ?"
REMOVE_INPUT_TAGS: Final[LiteralString] = "DELETE FROM input_tags WHERE row = ?"
ADD_TOPIC: Final[LiteralString] = "INSERT INTO topics (row, topic) VALUES (?, ?)"
ADD_RESULT: Final[LiteralString] = """
INSERT INTO results
    (row, evaluator, run_config_id, item_id, output_id, sample, verdict, is_skipped, cost,
    latency_ms, fingerprint)
VALUES (
    :row, :evaluator, :run_config_id, :item_id, :output_id, :sample, :verdict, :is_skipped, :cost,
    :latency_ms, :fingerprint
)
"""
ADD_FACET: Final[LiteralString] = "INSERT INTO facets (task, facet, row) VALUES (?, ?, ?)"
ADD_SCORE: Final[LiteralString] = (
    "INSERT INTO scores (row, key, value, is_empty) VALUES (?, ?, ?, ?)"
)
ADD_TEXT: Final[LiteralString] = (
    "INSERT INTO texts (rowid, input, output, marks) VALUES (?, ?, ?, ?)"
)

# Asking.

PROBLEMS: Final[LiteralString] = """
SELECT path, problem FROM records
WHERE problem IS NOT NULL AND copy_of IS NULL ORDER BY path
"""
COUNTS: Final[LiteralString] = """
SELECT kind, count(*) FROM records WHERE parent = :parent AND problem IS NULL GROUP BY kind
"""
BY_ID: Final[LiteralString] = """
SELECT path FROM records WHERE kind = :kind AND id = :id AND problem IS NULL
ORDER BY length(path), path
"""
BY_IDS: Final[LiteralString] = """
SELECT id, path FROM records
WHERE kind = :kind AND id IN (SELECT value FROM json_each(:ids)) AND problem IS NULL
ORDER BY length(path) DESC, path DESC
"""
DUPLICATES: Final[LiteralString] = """
SELECT kind, id, path FROM records
WHERE (kind, id) IN (
    SELECT kind, id FROM records WHERE copy_of IS NULL GROUP BY kind, id
    HAVING count(*) > 1 AND id NOT IN ('', '000000000000')
) AND copy_of IS NULL
ORDER BY kind, id, length(path), path
"""
"""Records that cannot be read, or say no id, are kept under these two."""
NAMES: Final[LiteralString] = """
SELECT path, id, name, folded FROM records
WHERE parent = :parent AND kind = :kind AND problem IS NULL ORDER BY row
"""
NAMES_OF_KIND: Final[LiteralString] = """
SELECT path, id, name, folded FROM records INDEXED BY records_by_kind
WHERE kind = :kind AND problem IS NULL ORDER BY row
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
TAGS_OF_RUNS: Final[LiteralString] = """
SELECT row, substr(min(facet), 5) FROM facets
WHERE task = :task AND facet >= :first AND facet < :end GROUP BY row
"""
TAGS: Final[LiteralString] = """
WITH tags AS (
    SELECT substr(facet, 5) AS tag, count(*) AS items FROM facets
    WHERE task = :task AND facet >= 'tag:' AND facet < 'tag;' GROUP BY facet
    UNION ALL
    SELECT tag, count(*) FROM records CROSS JOIN input_tags ON input_tags.row = records.row
    WHERE parent = :path AND kind = 'eval_input' AND problem IS NULL GROUP BY tag
)
SELECT tag, sum(items) FROM tags GROUP BY tag ORDER BY sum(items) DESC, tag
"""
SCORE_TABLE: Final[LiteralString] = """
WITH items AS (
    SELECT parents.path, run_config_id, key, avg(value) AS mean
    FROM parents CROSS JOIN results ON results.evaluator = parents.number
        CROSS JOIN scores ON scores.row = results.row
    WHERE parents.path GLOB :judges AND run_config_id <> ''
    GROUP BY evaluator, run_config_id, key, item_id
)
SELECT path, run_config_id, key, count(*), avg(mean) FROM items
GROUP BY path, run_config_id, key ORDER BY path, key, avg(mean) DESC
"""
"""Each item counts once, with the mean of its outputs."""
SCORE_COUNTS: Final[LiteralString] = """
SELECT parents.path, run_config_id, count(DISTINCT item_id)
FROM parents CROSS JOIN results ON results.evaluator = parents.number
WHERE parents.path GLOB :judges AND EXISTS (SELECT 1 FROM scores WHERE scores.row = results.row)
GROUP BY evaluator, run_config_id ORDER BY parents.path, run_config_id
"""

# Results of one evaluator.

JUDGED_OUTPUTS: Final[LiteralString] = """
SELECT item_id, sample, verdict FROM present_results
WHERE evaluator = :evaluator AND run_config_id = :run_config_id
"""
SKIPPED_OUTPUTS: Final[LiteralString] = """
SELECT item_id, sample, verdict FROM present_results
WHERE evaluator = :evaluator AND run_config_id = :run_config_id AND is_skipped
"""
JUDGED_RUN_CONFIGS: Final[LiteralString] = """
SELECT DISTINCT run_config_id FROM results WHERE evaluator = :evaluator
"""
SCORES: Final[LiteralString] = """
SELECT results.item_id, results.sample, results.verdict, scores.value, scores.is_empty
FROM present_results AS results CROSS JOIN scores ON scores.row = results.row AND scores.key = :key
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND NOT results.is_skipped AND results.item_id <> ''
"""
SCORES_NEWEST_FIRST: Final[LiteralString] = """
SELECT results.item_id, results.sample, results.verdict, scores.value, scores.is_empty
FROM present_results AS results CROSS JOIN scores ON scores.row = results.row AND scores.key = :key
    CROSS JOIN records ON records.row = results.row
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND NOT results.is_skipped AND results.item_id <> ''
ORDER BY records.created_us DESC, records.id DESC
"""
"""Of several results of one verdict the oldest is the last one."""
FIRST_SCORES: Final[LiteralString] = """
SELECT results.item_id, scores.value
FROM present_results AS results CROSS JOIN scores ON scores.row = results.row AND scores.key = :key
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND NOT results.is_skipped AND results.item_id <> ''
    AND results.sample = 0 AND results.verdict = 0
"""
FIRST_SCORES_NEWEST_FIRST: Final[LiteralString] = """
SELECT results.item_id, scores.value
FROM present_results AS results CROSS JOIN scores ON scores.row = results.row AND scores.key = :key
    CROSS JOIN records ON records.row = results.row
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND NOT results.is_skipped AND results.item_id <> ''
    AND results.sample = 0 AND results.verdict = 0
ORDER BY records.created_us DESC, records.id DESC
"""
VERDICT_MATRIX: Final[LiteralString] = """
SELECT evaluators.key, results.item_id, results.verdict, scores.key, scores.value, results.row
FROM json_each(:evaluators) AS evaluators
    CROSS JOIN parents ON parents.path = evaluators.value
    CROSS JOIN results ON results.evaluator = parents.number
        AND results.run_config_id = :run_config_id
    LEFT JOIN scores ON scores.row = results.row
WHERE results.sample = 0 AND results.item_id <> ''
"""
"""A skipped result has one row, without a key."""
RESULTS_OF_ITEMS: Final[LiteralString] = """
SELECT results.item_id, records.path
FROM results CROSS JOIN records ON records.row = results.row
WHERE results.evaluator = :evaluator AND results.run_config_id = :run_config_id
    AND results.item_id IN (SELECT value FROM json_each(:items))
    AND results.sample = 0 AND results.verdict = 0 AND NOT results.is_skipped
ORDER BY results.row DESC
"""
"""Of several results of one item the oldest is the last one."""
ALL_RESULTS: Final[LiteralString] = """
SELECT results.row, records.path, results.item_id, results.run_config_id, results.output_id,
    results.sample
FROM present_results AS results CROSS JOIN records ON records.row = results.row
WHERE results.evaluator = :evaluator
ORDER BY records.created_us, records.id
"""
ALL_SCORES: Final[LiteralString] = """
SELECT scores.row, scores.key, scores.value
FROM results CROSS JOIN scores ON scores.row = results.row WHERE results.evaluator = :evaluator
"""
USAGE_MEANS: Final[LiteralString] = """
SELECT run_config_id, count(*), count(cost), avg(cost), count(latency_ms), avg(latency_ms)
FROM (
    SELECT results.run_config_id, results.cost, results.latency_ms
    FROM results WHERE evaluator = :evaluator AND output_id = '' AND verdict = 0
    UNION ALL
    SELECT results.run_config_id, runs.cost, runs.latency_ms
    FROM (
        SELECT DISTINCT run_config_id, output_id FROM results
        WHERE evaluator = :evaluator AND output_id <> ''
    ) AS results LEFT JOIN runs ON runs.row = (
        SELECT records.row FROM records
        WHERE records.kind = 'task_run' AND records.id = results.output_id
            AND records.problem IS NULL
        ORDER BY length(records.path), records.path LIMIT 1
    )
)
GROUP BY run_config_id
"""
"""Of the outputs of each run config; older results hold them, newer ones name the output."""
OUTPUTS_OF_EVALS: Final[LiteralString] = """
SELECT runs.item_id, runs.sample, records.id, records.path
FROM runs CROSS JOIN records ON records.row = runs.row
WHERE runs.task = :task AND runs.run_config_id = :run_config_id AND runs.item_id IS NOT NULL
ORDER BY records.created_us, records.id
"""
INPUTS: Final[LiteralString] = """
SELECT id, path FROM records
WHERE parent = :parent AND kind = 'eval_input' AND problem IS NULL
ORDER BY created_us, id
"""
INPUTS_WITH_TAG: Final[LiteralString] = """
SELECT id, path FROM records
WHERE parent = :parent AND kind = 'eval_input' AND problem IS NULL
    AND EXISTS (SELECT 1 FROM input_tags WHERE input_tags.row = records.row AND tag = :tag)
ORDER BY created_us, id
"""

ITEM_TEXTS: Final[LiteralString] = """
SELECT runs.row, records.path, texts.input, texts.output,
    EXISTS (SELECT 1 FROM facets WHERE facets.row = runs.row AND facet = 'source:synthetic')
    AND (
        NOT EXISTS (SELECT 1 FROM facets WHERE facets.row = runs.row AND facet = 'high')
        OR EXISTS (SELECT 1 FROM facets WHERE facets.row = runs.row AND facet = 'incomplete')
    )
FROM runs CROSS JOIN texts ON texts.rowid = runs.row CROSS JOIN records ON records.row = runs.row
WHERE runs.task = :task AND runs.row > :after AND runs.item_id IS NULL
ORDER BY runs.row LIMIT :limit
"""
"""The last column tells whether a model wrote the output, which is cut or nobody rated high."""

# Slices of the items of a task, and the numbers that their outputs took.

SLICES_BY_TAG: Final[LiteralString] = """
SELECT records.id, substr(facets.facet, 5)
FROM facets CROSS JOIN runs ON runs.row = facets.row CROSS JOIN records ON records.row = runs.row
WHERE facets.task = :task AND facets.facet >= 'tag:' AND facets.facet < 'tag;'
    AND runs.item_id IS NULL
UNION ALL
SELECT records.id, input_tags.tag
FROM records CROSS JOIN input_tags ON input_tags.row = records.row
WHERE records.parent = :path AND records.kind = 'eval_input' AND records.problem IS NULL
"""
SLICES_BY_SOURCE: Final[LiteralString] = """
SELECT records.id, substr(facets.facet, 8)
FROM facets CROSS JOIN runs ON runs.row = facets.row CROSS JOIN records ON records.row = runs.row
WHERE facets.task = :task AND facets.facet >= 'source:' AND facets.facet < 'source;'
    AND runs.item_id IS NULL
"""
SLICES_BY_TOPIC: Final[LiteralString] = """
SELECT records.id, topics.topic
FROM topics CROSS JOIN records ON records.row = topics.row
WHERE records.parent = :path AND records.kind IN ('task_run', 'eval_input')
    AND records.problem IS NULL
"""
SLICES_BY_MODEL: Final[LiteralString] = """
SELECT records.id, runs.model FROM runs CROSS JOIN records ON records.row = runs.row
WHERE runs.task = :task AND runs.item_id IS NULL AND runs.model IS NOT NULL
"""
SLICES_BY_MONTH: Final[LiteralString] = """
SELECT records.id, strftime('%Y-%m', records.created_us / 1000000, 'unixepoch')
FROM runs CROSS JOIN records ON records.row = runs.row
WHERE runs.task = :task AND runs.item_id IS NULL
"""
OUTPUT_NUMBERS: Final[LiteralString] = """
SELECT records.id, runs.cost, runs.latency_ms, runs.tokens
FROM runs CROSS JOIN records ON records.row = runs.row
WHERE runs.task = :task AND runs.item_id IS NULL
    AND (runs.cost IS NOT NULL OR runs.latency_ms IS NOT NULL OR runs.tokens IS NOT NULL)
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
ITEMS: Final[LiteralString] = "SELECT records.id, records.path"
RATED_ITEMS: Final[LiteralString] = (
    "SELECT runs.row, records.id, records.path, runs.rating, runs.rated_us"
)
ROWS_WITH_IDS: Final[LiteralString] = "SELECT runs.row, records.id"
OVERALL_RATINGS: Final[LiteralString] = "SELECT runs.row, runs.rating"
RATINGS: Final[LiteralString] = "SELECT runs.row, ratings.key, ratings.value"
THEIR_RATINGS: Final[LiteralString] = " CROSS JOIN ratings ON ratings.row = runs.row"
IN_ORDER: Final[LiteralString] = " ORDER BY records.created_us, records.id"

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
OF_MODEL: Final[LiteralString] = " AND runs.model = :value"
IS_LAST_TURN: Final[LiteralString] = (
    " AND NOT EXISTS (SELECT 1 FROM records AS turn CROSS JOIN runs AS next"
    " ON next.task = :task AND next.previous_id = turn.id WHERE turn.row = runs.row)"
)
"""A conversation counts once, with its last turn."""
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
