"""The examples of an export of traces: spans are put together by trace, in any order.

Spans wait in a temporary database of their own that SQLite keeps on disk where memory ends. So an
export of any size takes the same memory. What is written there has no secrets.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from typing import Final, Protocol

from storage.exchange.columns import BadRow, Row
from storage.exchange.examples import Example
from storage.exchange.traces.assembly import (
    MOST_SPANS,
    NoModel,
    RatingRule,
    example_of_trace,
)
from storage.exchange.traces.langfuse import Langfuse
from storage.exchange.traces.langsmith import LangSmith
from storage.exchange.traces.masks import mask_text, mask_value
from storage.exchange.traces.openai_objects import OpenAIObjects
from storage.exchange.traces.opentelemetry import OpenTelemetry
from storage.exchange.traces.spans import Feedback, Span, number_of
from storage.text.excerpts import excerpt

_CACHE_KIB: Final = 65_536
_LONGEST_SPAN: Final = 16_000_000
_LONGEST_REASON: Final = 300
_MOST_NAMES: Final = 1_000
_FIELDS: Final = tuple(part.name for part in fields(Span))
_CREATE: Final = """
CREATE TABLE trace (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, row INTEGER NOT NULL)
STRICT;
CREATE TABLE piece (
    trace INTEGER NOT NULL, place INTEGER NOT NULL, row INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (trace, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE link (trace INTEGER PRIMARY KEY, previous TEXT NOT NULL) STRICT;
"""
_ADD_LINK: Final = "INSERT OR IGNORE INTO link SELECT number, :previous FROM trace WHERE id = :id"
_LINKS: Final = """
SELECT link.trace AS trace, earlier.number AS previous
FROM link JOIN trace AS earlier ON earlier.id = link.previous ORDER BY link.trace
"""
_MOVE_PIECES: Final = "UPDATE piece SET trace = :previous WHERE trace = :trace"
_MOVE_LINKS: Final = """
UPDATE link SET previous = (SELECT id FROM trace WHERE number = :previous)
WHERE previous = (SELECT id FROM trace WHERE number = :trace)
"""
_DROP_LINK: Final = "DELETE FROM link WHERE trace = :trace"
_ADD_TRACE: Final = "INSERT OR IGNORE INTO trace (id, row) VALUES (:id, :row)"
_ADD_PIECE: Final = """
INSERT INTO piece SELECT number, :place, :row, :content FROM trace WHERE id = :id
"""
_TRACES: Final = "SELECT number, id, row FROM trace ORDER BY number"
_PIECES: Final = "SELECT row, content FROM piece WHERE trace = :trace ORDER BY place LIMIT :most"


class TraceFormat(Protocol):
    """A form of exports of traces."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def key(self) -> str:
        """What its records are called in files."""
        ...

    def fits(self, row: Row, /) -> bool:
        """Whether a row is of this form."""
        ...

    def pieces(self, row: Row, /) -> Iterator[Span | str]:
        """Return the spans of a row, or what is wrong with one."""
        ...


FORMATS: Final[tuple[TraceFormat, ...]] = (
    OpenTelemetry(),
    LangSmith(),
    Langfuse(),
    OpenAIObjects(),
)
"""All forms; of those that fit equally many rows, the first is taken."""


def trace_format_of(rows: Sequence[Row]) -> TraceFormat | None:
    """Return the form that fits most of some rows; None if none fits half of them."""
    fits = {form.name: sum(map(form.fits, rows)) for form in FORMATS}
    best = max(FORMATS, key=lambda form: fits[form.name])
    return best if rows and fits[best.name] * 2 >= len(rows) else None


def examples_of_traces(
    rows: Iterable[tuple[int, Row | str]], form: TraceFormat, rating: str | None = None
) -> Iterator[tuple[int, Example | BadRow]]:
    """Return the example of each trace with the row that it begins in, and what is wrong.

    All rows are read before the first example, because spans of a trace may come at the end.

    Args:
        rows: Each row's number, and the row or what is wrong with it.
        form: Their form.
        rating: The feedback whose values become ratings; None if none does.
    """
    with closing(_SpanStore.open()) as store:
        for number, row in rows:
            yield from store.add(number, row, form)
        store.join_successors()
        rule = RatingRule(rating, is_stars=store.goes_beyond_one(rating))
        yield from store.examples(form.key, rule)


@dataclass(slots=True)
class _SpanStore:
    """Spans by their traces, in a temporary database.

    Attributes:
        database: The database.
        count: How many pieces were added.
        highest: The highest number by the name of a feedback.
    """

    database: sqlite3.Connection
    count: int = 0
    highest: dict[str, float] = field(default_factory=dict[str, float])

    @staticmethod
    def open() -> "_SpanStore":
        # An empty name makes a temporary file that nobody else can open.
        database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.executescript(_CREATE)
        # One transaction that never ends: nothing of it is to outlive the connection.
        database.execute("BEGIN")
        return _SpanStore(database)

    def close(self) -> None:
        self.database.close()

    def add(self, number: int, row: Row | str, form: TraceFormat) -> Iterator[tuple[int, BadRow]]:
        """Add the spans of a row; yield what is wrong with it."""
        try:
            pieces = [row] if isinstance(row, str) else form.pieces(row)
            for piece in pieces:
                reason = piece if isinstance(piece, str) else self._add_span(number, piece)
                if reason is not None:
                    yield number, _bad_row(number, reason)
        except (ValueError, RecursionError) as error:
            yield number, _bad_row(number, f"it cannot be read: {error}")

    def _add_span(self, number: int, span: Span) -> str | None:
        data = {name: getattr(span, name) for name in _FIELDS}
        data["feedback"] = [asdict(entry) for entry in span.feedback]
        content = json.dumps(mask_value(data), ensure_ascii=False, default=str)
        if len(content) > _LONGEST_SPAN:
            return (
                f"the span {span.id} has {len(content):,} characters, more than {_LONGEST_SPAN:,}"
            )
        try:
            self._insert(number, span, content)
        except (UnicodeEncodeError, OverflowError):
            return f"the span {span.id} holds a lone surrogate"
        for entry in span.feedback:
            value = number_of(entry.value)
            if value is not None and len(self.highest) < _MOST_NAMES:
                self.highest[entry.name] = max(self.highest.get(entry.name, 0.0), value)
        return None

    def _insert(self, number: int, span: Span, content: str) -> None:
        self.count += 1
        values = {"id": span.trace, "row": number, "place": self.count, "content": content}
        self.database.execute(_ADD_TRACE, values)
        self.database.execute(_ADD_PIECE, values)
        if span.predecessor:
            self.database.execute(_ADD_LINK, {"id": span.trace, "previous": span.predecessor})

    def join_successors(self) -> None:
        """Join traces that continue others to these: answers of tools to what asked for them."""
        while (link := self.database.execute(f"{_LINKS} LIMIT 1").fetchone()) is not None:
            trace, previous = link
            values = {"trace": trace, "previous": previous}
            if trace != previous:
                self.database.execute(_MOVE_LINKS, values)
                self.database.execute(_MOVE_PIECES, values)
            self.database.execute(_DROP_LINK, values)

    def goes_beyond_one(self, name: str | None) -> bool:
        return self.highest.get(name or "", 0.0) > 1

    def examples(
        self, format_key: str, rating: RatingRule
    ) -> Iterator[tuple[int, Example | BadRow]]:
        """Yield the example of each trace, and what is wrong with it."""
        other_count, first_other = 0, (0, "")
        for number, trace, row in self.database.execute(_TRACES):
            spans, bad_rows = self._spans(number)
            yield from bad_rows
            if not spans:
                continue
            try:
                yield row, example_of_trace(spans, format_key, rating)
            except NoModel:
                first_other = first_other if other_count else (row, trace)
                other_count += 1
            except (ValueError, RecursionError) as error:
                yield row, _bad_row(row, f"the trace {trace}: {error}")
        if other_count:
            row, trace = first_other
            reason = (
                f"{other_count:,} traces call no model and answer nothing, such as {trace}; they "
                "were not read"
            )
            yield row, _bad_row(row, reason)

    def _spans(self, trace: int) -> tuple[list[Span], list[tuple[int, BadRow]]]:
        """Return a trace's spans, each once, and what is wrong with the others."""
        spans: dict[str, Span] = {}
        fragments: list[Span] = []
        bad_rows: list[tuple[int, BadRow]] = []
        limits = {"trace": trace, "most": MOST_SPANS + 1}
        for row, content in self.database.execute(_PIECES, limits):
            span = _decoded_span(content)
            if span.is_fragment:
                fragments.append(span)
            elif span.id in spans:
                reason = f"the span {span.id} is there more than once; the first one counts"
                bad_rows.append((row, _bad_row(row, reason)))
            else:
                spans[span.id] = span
                if span.start and span.end and span.end < span.start:
                    reason = f"the span {span.id} ends before it starts; its time is not used"
                    bad_rows.append((row, _bad_row(row, reason)))
        for fragment in fragments:
            _complete(spans, fragment)
        return list(spans.values()), bad_rows


def _decoded_span(text: str) -> Span:
    """Return the span of its JSON text."""
    data = json.loads(text)
    feedback = [Feedback(**entry) for entry in data.pop("feedback")]
    return Span(**data, feedback=feedback)


def _complete(spans: dict[str, Span], fragment: Span) -> None:
    """Add a fragment to its span, to its trace's first one, or as a span of its own."""
    span = spans.get(fragment.id) if fragment.id else next(iter(spans.values()), None)
    if span is None and (fragment.messages or fragment.answers):
        spans[fragment.id] = fragment
        return
    target = span or next(iter(spans.values()), None)
    if target is None:
        spans[fragment.id] = fragment
    else:
        target.complete(fragment)


def _bad_row(number: int, reason: str) -> BadRow:
    return BadRow(number, excerpt(mask_text(reason), _LONGEST_REASON))
