"""Query what evals need: items, results, outputs and ratings, as columns of the index.

No file is read and no record is made. An item may have several outputs of a run config, which have
sample numbers, and an output several verdicts of one evaluator. Of several results of one verdict
the oldest counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, cast

from storage.index import sql
from storage.index.queries import IndexReader
from storage.index.rows import SqlValue, moment_of
from storage.index.run_search import RunQuery

OVERALL = ""
"""Stands for the key of the overall rating."""
RatingsByKey = Mapping[str, Mapping[int, float]]
"""The ratings of runs by requirement or score, by the row of each run that has one."""
STORED = ""
"""Stands for the run config of a result that judges a stored output as it is."""


class RecordRow(NamedTuple):
    """A record that is not read: its id and its file."""

    id: str
    path: str


class ItemText(NamedTuple):
    """The texts of an item.

    Attributes:
        row: Its place in the order of time.
        path: Its file.
        input: Its input.
        output: Its repaired output, or its output.
        is_unchecked: Whether a model wrote the output, which is cut short or nobody rated high.
    """

    row: int
    path: str
    input: str
    output: str
    is_unchecked: bool


class ResultRow(NamedTuple):
    """A result of an evaluator.

    Attributes:
        path: Its file.
        item_id: The item.
        run_config_id: The run config; "" for a stored output.
        output_id: The run that holds the output; "" if the result holds it itself.
        sample: Which of the outputs of the item it judges.
        scores: By their keys.
    """

    path: str
    item_id: str
    run_config_id: str
    output_id: str
    sample: int
    scores: Mapping[str, float]


class OutputKey(NamedTuple):
    """An output of a run config: its item, and which of the outputs of this item it is."""

    item_id: str
    sample: int = 0


class VerdictKey(NamedTuple):
    """A verdict of an output: its item, the output, and which of its verdicts it is."""

    item_id: str
    sample: int = 0
    verdict: int = 0


class Verdict(NamedTuple):
    """One score in one verdict of an output.

    Attributes:
        value: On the scale of the score.
        is_empty: Whether there was nothing to compare.
    """

    value: float
    is_empty: bool


class MatrixRow(NamedTuple):
    """One score of a first output in one verdict of one of several evaluators.

    Attributes:
        evaluator: The evaluator's place among those that were asked for.
        item_id: The item.
        verdict: Which verdict of the output it is.
        key: The score's key; None if the result was skipped.
        value: On the scale of the score; None if the result was skipped.
        row: The result's place in the order of time.
    """

    evaluator: int
    item_id: str
    verdict: int
    key: str | None
    value: float | None
    row: int


class RatedItem(NamedTuple):
    """A run with people's ratings of it.

    Attributes:
        id: Its id.
        path: Its file.
        rating: The overall rating.
        ratings: The other ratings, by requirement or score.
        rated_at: When it was rated.
        tag: Its first tag with the prefix that was asked for; None if it has none.
    """

    id: str
    path: str
    rating: float | None = None
    ratings: Mapping[str, float] = {}
    rated_at: datetime | None = None
    tag: str | None = None


class UsageMeans(NamedTuple):
    """What the outputs of a run config took on the mean, and how many say it.

    Attributes:
        results: How many results there are.
        cost_count: How many outputs have a cost.
        cost: In US dollars.
        latency_count: How many outputs have a latency.
        latency_ms: In milliseconds.
    """

    results: int
    cost_count: int
    cost: float | None
    latency_count: int
    latency_ms: float | None


async def items(index: IndexReader, task: str, query: RunQuery) -> list[RecordRow]:
    """Return the runs of a task that match a query, the oldest first.

    Raises:
        InvalidQuery: The filter is none.
    """
    search = await index.search_for(task, query)
    statement, values = search.text(sql.ITEMS, sql.THEIR_FILES)
    rows = await index.rows(statement + sql.IN_ORDER, values)
    return [RecordRow(*cast("tuple[str, str]", row)) for row in rows]


async def item_texts(index: IndexReader, task: str, after: int, limit: int) -> list[ItemText]:
    """Return the texts of some items of a task, those that no eval made, the oldest first.

    Args:
        index: The index.
        task: The task's file.
        after: The last row of the page before; -1 for the first page.
        limit: How many.
    """
    values: dict[str, SqlValue] = {
        "task": await index.number_of(task), "after": after, "limit": limit
    }  # fmt: skip
    rows = cast("list[tuple[int, str, str, str, int]]", await index.rows(sql.ITEM_TEXTS, values))
    return [
        ItemText(row, path, question, output, bool(is_unchecked))
        for row, path, question, output, is_unchecked in rows
    ]


async def input_items(index: IndexReader, task: str, tag: str | None) -> list[RecordRow]:
    """Return the eval inputs of a task, the oldest first; only those with a tag if it is given."""
    values: dict[str, SqlValue] = {"parent": task, "tag": tag}
    rows = await index.rows(sql.INPUTS if tag is None else sql.INPUTS_WITH_TAG, values)
    return [RecordRow(*cast("tuple[str, str]", row)) for row in rows]


async def ids_by_row(index: IndexReader, task: str, query: RunQuery) -> dict[int, str]:
    """Return the ids of the runs of a task that match a query, by their rows.

    Raises:
        InvalidQuery: The filter is none.
    """
    search = await index.search_for(task, query)
    statement, values = search.text(sql.ROWS_WITH_IDS, sql.THEIR_FILES)
    return dict(cast("list[tuple[int, str]]", await index.rows(statement, values)))


async def ratings_by_key(index: IndexReader, task: str, query: RunQuery) -> RatingsByKey:
    """Return the ratings of the runs of a task that match a query.

    Raises:
        InvalidQuery: The filter is none.
    """
    ratings: dict[str, dict[int, float]] = {}
    search = await index.search_for(task, replace(query, is_rated=True))
    statement, values = search.text(sql.OVERALL_RATINGS)
    overall_rows = cast("list[tuple[int, float]]", await index.rows(statement, values))
    if overall_rows:
        ratings[OVERALL] = dict(overall_rows)
    search = await index.search_for(task, query)
    statement, values = search.text(sql.RATINGS, sql.THEIR_RATINGS)
    rows = await index.rows(statement, values)
    for row, key, value in cast("list[tuple[int, str, float]]", rows):
        ratings.setdefault(key, {})[row] = value
    return ratings


async def rated_items(
    index: IndexReader, task: str, query: RunQuery, tag_prefix: str
) -> list[RatedItem]:
    """Return the runs of a task that match a query with their ratings, the oldest first.

    Raises:
        InvalidQuery: The filter is none.
    """
    search = await index.search_for(task, query)
    statement, values = search.text(sql.RATINGS, sql.THEIR_RATINGS)
    ratings: dict[int, dict[str, float]] = {}
    rows_of_ratings = await index.rows(statement, values)
    for row, key, value in cast("list[tuple[int, str, float]]", rows_of_ratings):
        ratings.setdefault(row, {})[key] = value
    statement, values = search.text(sql.RATED_ITEMS, sql.THEIR_FILES)
    rows = cast(
        "list[tuple[int, str, str, float | None, int | None]]",
        await index.rows(statement + sql.IN_ORDER, values),
    )
    prefix = f"tag:{tag_prefix}"
    tags_range = {"task": search.task, "first": prefix, "end": f"{prefix}\U0010ffff"}
    tags = dict(cast("list[tuple[int, str]]", await index.rows(sql.TAGS_OF_RUNS, tags_range)))
    no_ratings: dict[str, float] = {}
    return [
        RatedItem(
            run_id,
            path,
            rating,
            ratings.get(row, no_ratings),
            None if rated_us is None else moment_of(rated_us),
            tags.get(row),
        )
        for row, run_id, path, rating, rated_us in rows
    ]


async def outputs_of_evals(
    index: IndexReader, task: str, run_config_id: str
) -> dict[OutputKey, RecordRow]:
    """Return the outputs that evals made with a run config; the newest of each sample."""
    number = await index.number_of(task)
    values: dict[str, SqlValue] = {"task": number, "run_config_id": run_config_id}
    rows = cast("list[tuple[str, int, str, str]]", await index.rows(sql.OUTPUTS_OF_EVALS, values))
    return {OutputKey(item, sample): RecordRow(run_id, path) for item, sample, run_id, path in rows}


async def judged_outputs(
    index: IndexReader, evaluator: str, run_config_id: str
) -> frozenset[VerdictKey]:
    """Return the verdicts that an evaluator has given, scored or skipped."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": run_config_id,
    }
    rows = cast("list[tuple[str, int, int]]", await index.rows(sql.JUDGED_OUTPUTS, values))
    return frozenset(map(VerdictKey._make, rows))


async def skipped_outputs(
    index: IndexReader, evaluator: str, run_config_id: str
) -> frozenset[VerdictKey]:
    """Return the verdicts that an evaluator skipped, each with a stored reason."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": run_config_id,
    }
    rows = cast("list[tuple[str, int, int]]", await index.rows(sql.SKIPPED_OUTPUTS, values))
    return frozenset(map(VerdictKey._make, rows))


async def judged_run_configs(index: IndexReader, evaluator: str) -> frozenset[str]:
    """Return the run configs that an evaluator has results of; "" stands for stored outputs."""
    values: dict[str, SqlValue] = {"evaluator": await index.number_of(evaluator)}
    rows = await index.rows(sql.JUDGED_RUN_CONFIGS, values)
    return frozenset(cast("str", config) for (config,) in rows)


async def verdicts(
    index: IndexReader, evaluator: str, run_config_id: str, key: str
) -> dict[VerdictKey, Verdict]:
    """Return one score of a run config in each verdict, less those that were skipped."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": run_config_id,
        "key": key,
    }
    rows = await index.rows(sql.SCORES, values)
    scores = _verdicts_in(rows)
    if len(scores) < len(rows):
        scores = _verdicts_in(await index.rows(sql.SCORES_NEWEST_FIRST, values))
    return scores


def _verdicts_in(rows: Sequence[object]) -> dict[VerdictKey, Verdict]:
    return {
        VerdictKey(item, sample, verdict): Verdict(value, bool(is_empty))
        for item, sample, verdict, value, is_empty in cast(
            "Sequence[tuple[str, int, int, float, int]]", rows
        )
    }


async def first_scores(index: IndexReader, evaluator: str, key: str) -> dict[str, float]:
    """Return one score of stored outputs by item: of the first verdict of the first output."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": STORED,
        "key": key,
    }
    rows = await index.rows(sql.FIRST_SCORES, values)
    scores = dict(cast("list[tuple[str, float]]", rows))
    if len(scores) < len(rows):
        rows = await index.rows(sql.FIRST_SCORES_NEWEST_FIRST, values)
        scores = dict(cast("list[tuple[str, float]]", rows))
    return scores


async def matrix_rows(
    index: IndexReader, evaluators: Sequence[str], run_config_id: str
) -> list[MatrixRow]:
    """Return all verdicts that several evaluators gave on a run config's first outputs.

    Args:
        index: The index.
        evaluators: The files of the evaluators.
        run_config_id: The run config; STORED for stored outputs.
    """
    values: dict[str, SqlValue] = {
        "evaluators": json.dumps([*evaluators]),
        "run_config_id": run_config_id,
    }
    rows = await index.rows(sql.VERDICT_MATRIX, values)
    make = MatrixRow._make
    return [
        make(row)
        for row in cast("Sequence[tuple[int, str, int, str | None, float | None, int]]", rows)
    ]


async def results_of_items(
    index: IndexReader, evaluator: str, run_config_id: str, items: Sequence[str]
) -> dict[str, str]:
    """Return the files of an evaluator's first verdicts on some items, by item."""
    values: dict[str, SqlValue] = {
        "evaluator": await index.number_of(evaluator),
        "run_config_id": run_config_id,
        "items": json.dumps([*items]),
    }
    return dict(cast("list[tuple[str, str]]", await index.rows(sql.RESULTS_OF_ITEMS, values)))


async def results(index: IndexReader, evaluator: str) -> list[ResultRow]:
    """Return all results of an evaluator, the oldest first."""
    values: dict[str, SqlValue] = {"evaluator": await index.number_of(evaluator)}
    scores: dict[int, dict[str, float]] = {}
    rows_of_scores = await index.rows(sql.ALL_SCORES, values)
    for row, key, value in cast("list[tuple[int, str, float]]", rows_of_scores):
        scores.setdefault(row, {})[key] = value
    rows = cast(
        "list[tuple[int, str, str, str, str, int]]", await index.rows(sql.ALL_RESULTS, values)
    )
    return [
        ResultRow(path, item, config, output, sample, scores.get(row, {}))
        for row, path, item, config, output, sample in rows
    ]


async def usage_means(index: IndexReader, evaluator: str) -> dict[str, UsageMeans]:
    """Return what the outputs that an evaluator has scored took, by run config."""
    values: dict[str, SqlValue] = {"evaluator": await index.number_of(evaluator)}
    rows = await index.rows(sql.USAGE_MEANS, values)
    return {
        cast("str", config): UsageMeans(
            *cast("tuple[int, int, float | None, int, float | None]", means)
        )
        for config, *means in rows
    }
