"""Ask the index: pages, counts, tables. Reads only, in its own thread, never waits for a writer."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, LiteralString, Self, cast

import aiosqlite

from storage.errors import InvalidQuery
from storage.filters import AllOf, Named, Tagged, parse_filter
from storage.index import sql
from storage.index.rows import SqlValue

Order = Literal["newest", "oldest", "best", "worst"]


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which task runs are meant; every condition that is set must hold.

    Attributes:
        filter_id: One of Kiln's dataset filters, such as "tag::golden".
        tags: Tags that a run must have, all of them.
        without_tags: Tags that it must not have.
        source: Where its output came from, such as "human" or "synthetic".
        run_config_id: The run config that made its output.
        rated: Whether it has an overall rating; None for either.
        least_rating: The lowest overall rating.
        most_rating: The highest overall rating.
        unrated_for: The key of a score that nobody has rated, such as "named::Polite".
        text: Words that occur in its input or output.
    """

    filter_id: str = "all"
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    source: str | None = None
    run_config_id: str | None = None
    rated: bool | None = None
    least_rating: float | None = None
    most_rating: float | None = None
    unrated_for: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class PathPage:
    """The files of one page, and where the next one starts; None at the end."""

    paths: tuple[str, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ScoreCell:
    """What one judge says of one run config: the mean of a score over its items.

    Attributes:
        judge: The file of the judge (eval config).
        run_config_id: The run config.
        key: The score's key.
        items: How many items.
        mean: Their mean.
    """

    judge: str
    run_config_id: str
    key: str
    items: int
    mean: float


class IndexReader:
    """Reads the index of one project."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, file: Path) -> Self:
        """Open an index that a builder has made."""
        connection = await aiosqlite.connect(file, isolation_level=None)
        for pragma in sql.PRAGMAS:
            await connection.execute(pragma)
        return cls(connection)

    async def close(self) -> None:
        """Let go of the file."""
        await self._connection.close()

    async def data_version(self) -> int:
        """Return a number that changes when another connection has written to the index."""
        return cast("int", (await self._rows(sql.DATA_VERSION, {}))[0][0])

    async def problems(self) -> list[tuple[str, str]]:
        """Return path and reason of every file that cannot be used."""
        return cast("list[tuple[str, str]]", await self._rows(sql.PROBLEMS, {}))

    async def children(self, parent: str, kind: str) -> list[str]:
        """Return the files of the records of a kind below a parent, the oldest first."""
        rows = await self._rows(sql.CHILDREN, {"parent": parent, "kind": kind})
        return [cast("str", path) for (path,) in rows]

    async def counts(self, parent: str) -> dict[str, int]:
        """Return how many records of each kind lie directly below a parent."""
        rows = cast("list[tuple[str, int]]", await self._rows(sql.COUNTS, {"parent": parent}))
        return dict(rows)

    async def by_id(self, kind: str, record_id: str) -> list[str]:
        """Return the files of the records of this id."""
        rows = await self._rows(sql.BY_ID, {"kind": kind, "id": record_id})
        return [cast("str", path) for (path,) in rows]

    async def names(self, parent: str, kind: str) -> list[tuple[str, str, str, str]]:
        """Return path, id, name and case-folded name of the records of a kind below a parent."""
        rows = await self._rows(sql.NAMES, {"parent": parent, "kind": kind})
        return cast("list[tuple[str, str, str, str]]", rows)

    async def tags(self, parent: str) -> dict[str, int]:
        """Return how many task runs below a task have each tag, the commonest first."""
        return dict(cast("list[tuple[str, int]]", await self._rows(sql.TAGS, {"parent": parent})))

    async def score_table(self, folder: str) -> list[ScoreCell]:
        """Return the mean score of every judge for every run config below an eval's folder."""
        rows = await self._rows(sql.SCORE_TABLE, {"judges": f"{_literal(folder)}/*"})
        return [ScoreCell(*cast("tuple[str, str, str, int, float]", row)) for row in rows]

    async def count_runs(self, parent: str, query: RunQuery) -> int:
        """Return how many task runs of a task are meant."""
        statement, values = _where(sql.COUNT_RUNS, parent, query)
        return cast("int", (await self._rows(statement, values))[0][0])

    async def run_page(
        self, parent: str, query: RunQuery, order: Order, limit: int, cursor: str | None
    ) -> PathPage:
        """Return one page of the task runs that are meant.

        Raises:
            InvalidQuery: The cursor is none that a page gave, or the filter is none.
        """
        statement, values = _where(sql.FROM_RUNS, parent, query)
        after, by = _ORDERS[order]
        if cursor is not None:
            values["at"], values["last"] = _read_cursor(cursor)
            statement += after
        values["limit"] = limit + 1
        rows = await self._rows(statement + by, values)
        page = rows[:limit]
        more = _write_cursor(page[-1], order) if len(rows) > limit else None
        return PathPage(tuple(cast("str", row[0]) for row in page), more)

    async def _rows(
        self, statement: LiteralString, values: Mapping[str, SqlValue]
    ) -> list[tuple[SqlValue, ...]]:
        async with self._connection.execute(statement, dict(values)) as cursor:
            return cast("list[tuple[SqlValue, ...]]", list(await cursor.fetchall()))


_ORDERS: Mapping[Order, tuple[LiteralString, LiteralString]] = {
    "newest": (sql.AFTER_NEWER, sql.NEWEST_FIRST),
    "oldest": (sql.AFTER_OLDER, sql.OLDEST_FIRST),
    "best": (sql.AFTER_BETTER, sql.BEST_FIRST),
    "worst": (sql.AFTER_WORSE, sql.WORST_FIRST),
}


class _Conditions:
    """Conditions of a query and their values, each value under a name of its own."""

    def __init__(self, parent: str) -> None:
        self.text: LiteralString = ""
        self.values: dict[str, SqlValue] = {"parent": parent}

    def add(self, condition: LiteralString, value: SqlValue = None) -> None:
        """Add a condition; `:value` in it stands for the value."""
        name = f"value{len(self.values)}"
        if ":value" in condition:
            self.values[name] = value
        # The replacement is a number of ours, never text from data.
        self.text += cast("LiteralString", condition.replace(":value", f":{name}"))


def _where(
    start: LiteralString, parent: str, query: RunQuery
) -> tuple[LiteralString, dict[str, SqlValue]]:
    """Return a query of task runs with its conditions, and their values."""
    found = _Conditions(parent)
    _add_filter(found, query.filter_id)
    for tag in query.tags:
        found.add(sql.HAS_TAG, tag)
    for tag in query.without_tags:
        found.add(sql.HAS_NOT_TAG, tag)
    if query.rated is not None:
        found.add(sql.RATED if query.rated else sql.UNRATED)
    simple: tuple[tuple[LiteralString, SqlValue], ...] = (
        (sql.OF_SOURCE, query.source),
        (sql.OF_RUN_CONFIG, query.run_config_id),
        (sql.AT_LEAST, query.least_rating),
        (sql.AT_MOST, query.most_rating),
        (sql.UNRATED_FOR, query.unrated_for),
        (sql.HAS_WORDS, _words(query.text) if query.text else None),
    )
    for condition, value in simple:
        if value is not None:
            found.add(condition, value)
    return start + found.text, found.values


def _add_filter(conditions: _Conditions, filter_id: str) -> None:
    """Add one of Kiln's dataset filters."""
    match parse_filter(filter_id):
        case Tagged(tag):
            conditions.add(sql.HAS_TAG, tag)
        case Named("all"):
            pass
        case Named("high_rating"):
            conditions.add(sql.IS_HIGH)
        case Named("thinking_model"):
            conditions.add(sql.THOUGHT)
        case Named(_):
            conditions.add(sql.IS_HIGH + sql.THOUGHT)
        case AllOf(parts):
            for part in parts:
                _add_filter(conditions, part)


def _words(text: str) -> str:
    """Return a full-text query for all words of a text, each as it is written."""
    quoted = (word.replace('"', '""') for word in text.split())
    return " ".join(f'"{word}"' for word in quoted)


def _literal(text: str) -> str:
    """Return a GLOB pattern that matches exactly this text."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _write_cursor(row: tuple[SqlValue, ...], order: Order) -> str:
    at = row[2] if order in {"best", "worst"} else row[1]
    return base64.urlsafe_b64encode(json.dumps([at, row[3]]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[SqlValue, SqlValue]:
    try:
        at, last = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError) as error:
        raise InvalidQuery(f"{cursor!r} is no cursor; take next_cursor of the last page") from error
    return at, last
