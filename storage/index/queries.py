"""Query the index: pages, counts, tables. It reads in its own thread and waits for no writer."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Final, Literal, LiteralString, Self, cast

import aiosqlite

from storage.errors import InvalidQuery
from storage.index import sql
from storage.index.rows import SqlValue
from storage.index.run_search import RunQuery, RunSearch, facets_of, words_query
from storage.records.handles import NameRow
from storage.sqlite_files import BUSY_S

__all__ = ["IndexReader", "Order", "PathPage", "RunQuery", "ScoreCell", "ScoreCount"]

Order = Literal["newest", "oldest", "best", "worst"]


@dataclass(frozen=True, slots=True)
class PathPage:
    """The files of one page.

    Attributes:
        paths: Their paths, in order.
        total: How many match in all; at least so many if it is not exact.
        total_is_exact: Whether all were counted.
        next_cursor: Where the next page starts; None at the end.
    """

    paths: tuple[str, ...]
    total: int
    total_is_exact: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ScoreCount:
    """How many items an evaluator has scores of, of one run config.

    Attributes:
        evaluator: The file of the evaluator (eval config).
        run_config_id: The run config; "" for stored outputs, judged as they are.
        items: How many items.
    """

    evaluator: str
    run_config_id: str
    items: int


@dataclass(frozen=True, slots=True)
class ScoreCell:
    """What one evaluator says of one run config: the mean of a score over its items.

    Attributes:
        evaluator: The file of the evaluator (eval config).
        run_config_id: The run config.
        key: The score's key.
        items: How many items.
        mean: Their mean.
    """

    evaluator: str
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
        connection = await aiosqlite.connect(file, timeout=BUSY_S, isolation_level=None)
        for pragma in sql.PRAGMAS:
            await connection.execute(pragma)
        return cls(connection)

    async def close(self) -> None:
        """Let go of the file."""
        await self._connection.close()

    async def problems(self) -> list[tuple[str, str]]:
        """Return path and reason of every file that cannot be used."""
        return cast("list[tuple[str, str]]", await self.rows(sql.PROBLEMS, {}))

    async def counts(self, parent: str) -> dict[str, int]:
        """Return how many records of each kind lie directly below a parent."""
        rows = cast("list[tuple[str, int]]", await self.rows(sql.COUNTS, {"parent": parent}))
        return dict(rows)

    async def by_id(self, kind: str, record_id: str) -> list[str]:
        """Return the files of the records with an id; the id means the first one."""
        rows = await self.rows(sql.BY_ID, {"kind": kind, "id": record_id})
        return [cast("str", path) for (path,) in rows]

    async def by_ids(self, kind: str, ids: Sequence[str]) -> dict[str, str]:
        """Return the file that each id means, of those that a record has."""
        rows = await self.rows(sql.BY_IDS, {"kind": kind, "ids": json.dumps(ids)})
        return dict(cast("list[tuple[str, str]]", rows))

    async def copies(self) -> list[tuple[str, str]]:
        """Return the record files of copied folders, each with the file of its record."""
        return cast("list[tuple[str, str]]", await self.rows(sql.COPIES, {}))

    async def duplicates(self) -> list[tuple[str, ...]]:
        """Return the groups of files that share an id; the id means the first one of each."""
        rows = cast("list[tuple[str, str, str]]", await self.rows(sql.DUPLICATES, {}))
        groups = [
            tuple(path for _, _, path in group)
            for _, group in groupby(rows, key=lambda row: row[:2])
        ]
        folders = {path.rpartition("/")[0] for paths in groups for path in paths}
        return [paths for paths in groups if not all(_is_below(path, folders) for path in paths)]

    async def names(self, parent: str | None, kind: str) -> list[NameRow]:
        """Return the names of the records of a kind below a parent; None for the whole project."""
        statement = sql.NAMES_OF_KIND if parent is None else sql.NAMES
        rows = await self.rows(statement, {"kind": kind, "parent": parent or ""})
        return [NameRow(*cast("tuple[str, str, str, str]", row)) for row in rows]

    async def page_of(self, kind: str, text: str, limit: int, cursor: str | None) -> PathPage:
        """Return one page of the records of a kind, wherever they lie, the newest first.

        Args:
            kind: The kind's name in the format.
            text: Part of their names, folded; "" for all.
            limit: How many.
            cursor: Where the page starts; None for the first.

        Raises:
            InvalidQuery: The cursor is none that a page gave, or the page holds nothing.
        """
        _check_limit(limit)
        of_list = _digest(kind, text)
        last = sql.LAST if cursor is None else _read_cursor(cursor, of_list)[1]
        conditions: dict[str, SqlValue] = {"kind": kind, "text": text}
        count = sql.COUNT_NAMED if text else sql.COUNT_KIND
        total = cast("int", (await self.rows(count, conditions))[0][0])
        values = conditions | {"last": last, "limit": limit + 1}
        rows = await self.rows(sql.PAGE_OF_KIND, values)
        page = rows[:limit]
        next_cursor = _write_cursor(page[-1], of_list) if len(rows) > limit else None
        return PathPage(tuple(cast("str", row[0]) for row in page), total, True, next_cursor)

    async def tags(self, parent: str) -> dict[str, int]:
        """Return how many items of a task have each tag, the commonest first."""
        values: dict[str, SqlValue] = {"task": await self.number_of(parent), "path": parent}
        rows = await self.rows(sql.TAGS, values)
        return dict(cast("list[tuple[str, int]]", rows))

    async def score_table(self, folder: str) -> list[ScoreCell]:
        """Return the mean score of every evaluator for every run config below an eval's folder."""
        rows = await self.rows(sql.SCORE_TABLE, {"judges": f"{_literal(folder)}/*"})
        return [ScoreCell(*cast("tuple[str, str, str, int, float]", row)) for row in rows]

    async def score_counts(self, folder: str) -> list[ScoreCount]:
        """Return how many items each evaluator below an eval's folder has scored, by run config."""
        rows = await self.rows(sql.SCORE_COUNTS, {"judges": f"{_literal(folder)}/*"})
        return [ScoreCount(*cast("tuple[str, str, int]", row)) for row in rows]

    async def run_paths(self, parent: str, query: RunQuery) -> list[str]:
        """Return the files of all task runs that match a query.

        Raises:
            InvalidQuery: The filter is none.
        """
        search = await self.search_for(parent, query)
        statement, values = search.text(sql.PAGE, sql.THEIR_FILES)
        rows = await self.rows(statement, values)
        return [cast("str", row[0]) for row in rows]

    async def count_runs(self, parent: str, query: RunQuery) -> int:
        """Return how many runs of a task match a query.

        Raises:
            InvalidQuery: The filter is none.
        """
        search = await self.search_for(parent, query)
        return await self._count(search, _NO_LIMIT)

    async def run_page(
        self, parent: str, query: RunQuery, order: Order, limit: int, cursor: str | None
    ) -> PathPage:
        """Return one page of the task runs that match a query.

        Raises:
            InvalidQuery: The cursor is none that a page gave, the filter is none, or the page holds
                nothing.
        """
        _check_limit(limit)
        search = await self.search_for(parent, query)
        total = await self._count(search, _COUNT_LIMIT + 1)
        if order in {"best", "worst"} and total > _COUNT_LIMIT:
            search = search.by_rating()
        after, by = _ORDERS[order]
        of_list = _digest(parent, repr(query), order)
        statement, values = search.text(sql.PAGE, sql.THEIR_FILES)
        if cursor is not None:
            values["at"], values["last"] = _read_cursor(cursor, of_list)
            statement += _of_row(after, search.row)
        values["limit"] = limit + 1
        rows = await self.rows(statement + _of_row(by, search.row), values)
        page = rows[:limit]
        next_cursor = _write_cursor(page[-1], of_list) if len(rows) > limit else None
        paths = tuple(cast("str", row[0]) for row in page)
        exact = search.is_counted_fast or total <= _COUNT_LIMIT
        return PathPage(paths, total if exact else _COUNT_LIMIT, exact, next_cursor)

    async def _count(self, search: RunSearch, limit: int) -> int:
        """Return how many runs match; at most `limit`, if counting them all is slow."""
        if search.is_counted_fast:
            statement = sql.COUNT_FACET if search.facets else sql.COUNT_TASK
            values: dict[str, SqlValue] = {"task": search.task, "facet": "".join(search.facets)}
        else:
            statement, values = search.text(sql.COUNT)
            statement, values["most"] = statement + sql.AT_MOST_SO_MANY, limit
        return cast("int", (await self.rows(statement, values))[0][0])

    async def search_for(self, parent: str, query: RunQuery) -> RunSearch:
        """Return the search for a query, which starts from the rarest condition.

        Raises:
            InvalidQuery: The filter is none.
        """
        text = " ".join((query.text or "").replace("\0", " ").split())
        query = replace(query, text=text or None)
        search = RunSearch(await self.number_of(parent), facets_of(query), query)
        if text:
            search = replace(search, common=await self._common(text.split(), search.task))
        elif len(search.facets) > 1:
            counts = [
                await self._count(RunSearch(search.task, (facet,), RunQuery()), _NO_LIMIT)
                for facet in search.facets
            ]
            rarest = counts.index(min(counts))
            other_facets = search.facets[:rarest] + search.facets[rarest + 1 :]
            search = RunSearch(search.task, (search.facets[rarest], *other_facets), query)
        return search

    async def _common(self, words: list[str], task: int) -> frozenset[str]:
        """Return the words that more than a thousand runs have.

        These are searched as whole words. Their longer forms would take long, because SQLite sorts
        all places of all words with the prefix first.
        """
        common: set[str] = set()
        for word in words:
            query = words_query(word, RunSearch(task, (), RunQuery(), common=frozenset({word})))
            values: dict[str, SqlValue] = {"words": query, "most": _COUNT_LIMIT + 1}
            if (await self.rows(sql.COUNT_WORD, values))[0][0] == _COUNT_LIMIT + 1:
                common.add(word)
        return frozenset(common)

    async def number_of(self, parent: str) -> int:
        """Return the number of a task or an evaluator; 0 if the index knows nothing below it."""
        rows = await self.rows(sql.NUMBER_OF, {"path": parent})
        return cast("int", rows[0][0]) if rows else 0

    async def rows(
        self, statement: LiteralString, values: Mapping[str, SqlValue]
    ) -> list[tuple[SqlValue, ...]]:
        """Return the rows of a statement."""
        async with self._connection.execute(statement, dict(values)) as cursor:
            return cast("list[tuple[SqlValue, ...]]", list(await cursor.fetchall()))


_COUNT_LIMIT: Final = 1000
"""The most runs that are counted if several conditions must hold."""


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InvalidQuery(f"a page holds at least 1 record, and limit is {limit}")


_NO_LIMIT: Final = -1

_ORDERS: Mapping[Order, tuple[LiteralString, LiteralString]] = {
    "newest": (sql.BEFORE, sql.NEWEST_FIRST),
    "oldest": (sql.AFTER, sql.OLDEST_FIRST),
    "best": (sql.AFTER_BETTER, sql.BEST_FIRST),
    "worst": (sql.AFTER_WORSE, sql.WORST_FIRST),
}


def _is_below(path: str, folders: AbstractSet[str]) -> bool:
    """Return whether a record lies below another one's folder, and not in it."""
    return any(str(folder) in folders for folder in list(PurePosixPath(path).parents)[1:])


def _literal(text: str) -> str:
    """Return a GLOB pattern that matches exactly this text."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _of_row(statement: LiteralString, column: LiteralString) -> LiteralString:
    return statement.replace("{row}", column)


def _digest(*query: str) -> str:
    """Return a short mark of a list, so that no cursor of another list is taken for one of its."""
    return hashlib.blake2b("\0".join(query).encode(), digest_size=4).hexdigest()


def _write_cursor(row: tuple[SqlValue, ...], of_list: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([row[2], row[1], of_list]).encode()).decode()


def _read_cursor(cursor: str, of_list: str) -> tuple[float | None, int]:
    """Return the rating and the row number that a page ended with.

    Raises:
        InvalidQuery: It is no cursor of this list.
    """
    try:
        rating, row, mark = json.loads(base64.urlsafe_b64decode(cursor))
        place = None if rating is None else float(rating), int(row)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidQuery(f"{cursor!r} is no cursor; take next_cursor of the last page") from error
    if mark != of_list:
        raise InvalidQuery(
            f"{cursor!r} is the cursor of another list; repeat the arguments of its first page"
        )
    return place
