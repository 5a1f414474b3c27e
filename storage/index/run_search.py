"""Queries of task runs, and the SQL that starts from the rarest condition."""

from dataclasses import dataclass, field, replace
from typing import LiteralString, cast

from storage.format.filters import AllOf, NamedFilter, TagFilter, parse_filter
from storage.index import sql
from storage.index.rows import FROM_EVAL, INCOMPLETE, SqlValue, mark_of
from storage.index.words import phrase_of


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A query of task runs; every condition that is set must hold.

    Attributes:
        filter_id: One of Kiln's dataset filters, such as "tag::golden".
        tags: Tags that a run must have, all of them.
        without_tags: Tags that it must not have.
        source: Where its output came from, such as "human" or "synthetic".
        run_config_id: The run config that made its output.
        is_from_eval: Whether an eval made it of an item; None for either.
        is_complete: Set to leave out outputs that are no complete answers.
        is_last_turn: Set to leave out the earlier turns of conversations.
        model: The model that made its output, as its provider calls it.
        is_rated: Whether it has an overall rating; None for either.
        least_rating: The lowest overall rating.
        most_rating: The highest overall rating.
        unrated_score: The key of a score that nobody has rated, such as "named::Polite".
        text: Words that occur in its input or output, or how they begin; of a word that more than
            a thousand runs have, no longer ones are looked for.
    """

    filter_id: str = "all"
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    source: str | None = None
    run_config_id: str | None = None
    is_from_eval: bool | None = None
    is_complete: bool = False
    is_last_turn: bool = False
    model: str | None = None
    is_rated: bool | None = None
    least_rating: float | None = None
    most_rating: float | None = None
    unrated_score: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RunSearch:
    """A query of task runs with the place where the search starts.

    Attributes:
        task: The task's number.
        facets: What they must be; the first is where to look, if no words are asked for.
        query: The rest.
        all_in_order: Whether to look at all runs in the order of their ratings.
        common: The words of the query's text that are looked for as whole words.
    """

    task: int
    facets: tuple[str, ...]
    query: RunQuery
    all_in_order: bool = False
    common: frozenset[str] = frozenset()

    @property
    def is_counted_fast(self) -> bool:
        """Whether one walk along an index counts them all."""
        query = self.query
        return len(self.facets) <= 1 and not (
            query.text
            or _lacking_facets_of(query)
            or query.is_last_turn
            or query.model is not None
            or query.least_rating is not None
            or query.most_rating is not None
        )

    @property
    def row(self) -> LiteralString:
        """The column with the row numbers at the place where the search starts."""
        if self.all_in_order:
            return "runs.row"
        if self.query.text:
            return "texts.rowid"
        return "facets.row" if self.facets else "runs.row"

    def by_rating(self) -> "RunSearch":
        """Return the same search, through all runs in the order of their ratings."""
        return replace(self, all_in_order=True)

    def text(
        self, start: LiteralString, join: LiteralString = ""
    ) -> tuple[LiteralString, dict[str, SqlValue]]:
        """Return the statement that begins so, without an order, and its values."""
        query = self.query
        words = words_query(query.text, self) if query.text else None
        conditions = _Conditions({"task": self.task})
        source, condition, to_check = sql.ALL_RUNS, sql.OF_TASK, self.facets
        if self.all_in_order:
            if words:
                conditions.add(sql.HAS_WORDS, words)
        elif words:
            source, condition, to_check = sql.RUNS_WITH_WORDS, sql.MATCHING, ()
            conditions.values["words"] = words
        elif self.facets:
            source, condition, to_check = (
                sql.RUNS_WITH_FACET,
                sql.OF_TASK_WITH_FACET,
                self.facets[1:],
            )
            conditions.values["facet"] = self.facets[0]
        for facet in to_check:
            conditions.add(sql.IS, facet)
        for facet in _lacking_facets_of(query):
            conditions.add(sql.IS_NOT, facet)
        conditions.add_columns(query)
        return start + source + join + condition + conditions.text, conditions.values


@dataclass(slots=True)
class _Conditions:
    """Conditions of a query and their values, each value under a name of its own."""

    values: dict[str, SqlValue]
    text: LiteralString = field(default="")

    def add(self, condition: LiteralString, value: SqlValue) -> None:
        """Add a condition; `:value` in it stands for the value."""
        name = f"value{len(self.values)}"
        self.values[name] = value
        # The replacement is a number of ours, never text from data.
        self.text += cast("LiteralString", condition.replace(":value", f":{name}"))

    def add_columns(self, query: RunQuery) -> None:
        """Add the conditions of a query that columns hold, and no facets."""
        if query.model is not None:
            self.add(sql.OF_MODEL, query.model)
        if query.is_last_turn:
            self.text += sql.IS_LAST_TURN
        if query.least_rating is not None:
            self.add(sql.AT_LEAST, query.least_rating)
        if query.most_rating is not None:
            self.add(sql.AT_MOST, query.most_rating)


def facets_of(query: RunQuery) -> tuple[str, ...]:
    """Return the facets that a matching run must have, each once."""
    facets = [*_facets_of_filter(query.filter_id), *(f"tag:{tag}" for tag in query.tags)]
    if query.is_rated is not None:
        facets.append("rated" if query.is_rated else "unrated")
    if query.is_from_eval:
        facets.append(FROM_EVAL)
    if query.source is not None:
        facets.append(f"source:{query.source}")
    if query.run_config_id is not None:
        facets.append(f"config:{query.run_config_id}")
    return tuple(dict.fromkeys(facets))


def _lacking_facets_of(query: RunQuery) -> list[str]:
    """Return the facets that a matching run must not have."""
    facets = [f"tag:{tag}" for tag in query.without_tags]
    if query.is_from_eval is False:
        facets.append(FROM_EVAL)
    if query.is_complete:
        facets.append(INCOMPLETE)
    if query.unrated_score is not None:
        facets.append(f"rated_for:{query.unrated_score}")
    return facets


def _facets_of_filter(filter_id: str) -> list[str]:
    """Return the facets that one of Kiln's dataset filters requires."""
    match parse_filter(filter_id):
        case TagFilter(tag):
            return [f"tag:{tag}"]
        case NamedFilter("all"):
            return []
        case NamedFilter("high_rating"):
            return ["high"]
        case NamedFilter("thinking_model"):
            return ["thought"]
        case NamedFilter(_):
            return ["high", "thought"]
        case AllOf(parts):
            return [facet for part in parts for facet in _facets_of_filter(part)]


def words_query(text: str, search: RunSearch) -> str:
    """Return a full-text query for all words of a text, within the facets of a search."""
    phrases = " AND ".join(phrase_of(w, is_whole=w in search.common) for w in text.split())
    marks = " AND ".join(map(mark_of, (f"task:{search.task}", *search.facets)))
    return f"{{input output}} : ({phrases}) AND marks : ({marks})"
