"""The dialects of models, learned from refusals and kept in the home with their date."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, LiteralString

from kiln_mcp.llm.abilities import Abilities, Ability
from kiln_mcp.llm.errors import (
    ModelError,
    NoLogprobs,
    RejectedRequest,
    ServerFailure,
    UnknownModel,
)
from kiln_mcp.llm.messages import ModelRequest
from kiln_mcp.llm.providers.dialect import STANDARD, Dialect
from kiln_mcp.llm.providers.dialect_lessons import Lesson, lesson_of
from storage.isolation.fixed_schema import sorted_text
from storage.sqlite_files import open_shared
from storage.text.excerpts import excerpt_line

_MOST_SCHEMAS: Final = 1024
_TABLE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS dialects (
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    feature TEXT NOT NULL,
    value TEXT NOT NULL,
    sentence TEXT NOT NULL,
    learned_at REAL NOT NULL,
    PRIMARY KEY (server, model, feature)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused_schemas (
    server TEXT NOT NULL,
    model TEXT NOT NULL,
    schema_hash BLOB NOT NULL,
    json_mode TEXT NOT NULL,
    sentence TEXT NOT NULL,
    learned_at REAL NOT NULL,
    PRIMARY KEY (server, model, schema_hash)
) STRICT, WITHOUT ROWID;
"""
_READ: Final[LiteralString] = """
SELECT feature, value, sentence, learned_at FROM dialects
WHERE server = :server AND model = :model ORDER BY feature
"""
_LEARN: Final[LiteralString] = """
INSERT OR REPLACE INTO dialects (server, model, feature, value, sentence, learned_at)
VALUES (:server, :model, :feature, :value, :sentence, :learned_at)
"""
_FORGET: Final[LiteralString] = "DELETE FROM dialects WHERE server = :server AND model = :model"
_READ_SCHEMA: Final[LiteralString] = """
SELECT json_mode FROM refused_schemas
WHERE server = :server AND model = :model AND schema_hash = :schema_hash
"""
_LEARN_SCHEMA: Final[LiteralString] = """
INSERT OR REPLACE INTO refused_schemas
    (server, model, schema_hash, json_mode, sentence, learned_at)
VALUES (:server, :model, :schema_hash, :json_mode, :sentence, :learned_at)
"""
_COUNT_SCHEMAS: Final[LiteralString] = """
SELECT count(*) FROM refused_schemas WHERE server = :server AND model = :model
"""
_FORGET_OLDEST_SCHEMAS: Final[LiteralString] = """
DELETE FROM refused_schemas WHERE (server, model, schema_hash) IN (
    SELECT server, model, schema_hash FROM refused_schemas
    ORDER BY learned_at DESC LIMIT -1 OFFSET :kept
)
"""
_FORGET_SCHEMAS: Final[LiteralString] = """
DELETE FROM refused_schemas WHERE server = :server AND model = :model
"""


@dataclass(frozen=True, slots=True)
class LearnedFact:
    """What was learned of a model.

    Attributes:
        feature: A field of `Dialect`.
        value: Its value.
        sentence: The server's words.
        learned_at: Seconds since 1970.
    """

    feature: str
    value: str
    sentence: str
    learned_at: float

    def __str__(self) -> str:
        day = time.strftime("%Y-%m-%d", time.gmtime(self.learned_at))
        return f"{self.feature.replace('_', ' ')}: {self.value} (learned {day}: {self.sentence})"


def abilities_in(dialect: Dialect, facts: Sequence[LearnedFact]) -> Abilities:
    """Return what a dialect says of a model's abilities.

    Args:
        dialect: The dialect.
        facts: What of it was learned from refusals; the rest is configured.
    """
    is_learned = any(fact.feature == "json_mode" for fact in facts)
    has_schema = dialect.json_mode == "schema"
    return Abilities(
        json_schema=Ability.UNKNOWN
        if has_schema
        else (Ability.REFUSED if is_learned else Ability.NO),
        json_object=Ability.REFUSED if dialect.json_mode == "words" else Ability.UNKNOWN,
        logprobs=Ability.REFUSED if dialect.logprobs == "no" else Ability.UNKNOWN,
        tools=Ability.IN_WORDS if dialect.tools == "words" else Ability.UNKNOWN,
        streaming=Ability.REFUSED if dialect.streaming == "no" else Ability.UNKNOWN,
    )


class Dialects:
    """The dialects of all models, shared by the processes of a home.

    A lookup reads a few rows in the event loop, which takes microseconds. What was looked up holds
    until `version` is another one. A file that cannot be used is replaced by memory: then each
    process learns by itself.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Name the file.

        Args:
            path: The SQLite file; None for memory.
            clock: Seconds since 1970.
        """
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._changes = 0

    def version(self) -> tuple[int, int]:
        """Return a value that changes whenever this process or another one has learned."""
        [(foreign_changes,)] = self._run("PRAGMA data_version")
        return int(foreign_changes), self._changes

    def of_server(self, server: str, default: Dialect = STANDARD) -> "ServerDialects":
        """Return the dialects of one server's models.

        Args:
            server: Its address, or the name of a library that reaches it.
            default: The dialect of a model of which nothing was learned.
        """
        return ServerDialects(self, server, default)

    def facts(self, server: str, model: str) -> list[LearnedFact]:
        """Return what was learned of a model."""
        rows = self._run(_READ, server=server, model=model)
        return [LearnedFact(*row) for row in rows]

    def learn(self, server: str, model: str, lesson: Lesson, sentence: str) -> None:
        """Keep a lesson."""
        self._changes += 1
        self._run(
            _LEARN,
            server=server,
            model=model,
            feature=lesson.feature,
            value=lesson.value,
            sentence=sentence,
            learned_at=self._clock(),
        )

    def forget(self, server: str, model: str) -> None:
        """Forget what was learned of a model."""
        self._changes += 1
        self._run(_FORGET, server=server, model=model)
        self._run(_FORGET_SCHEMAS, server=server, model=model)

    def refused_schemas(self, server: str, model: str) -> int:
        """Return how many schemas a model has refused, which it is asked for otherwise."""
        [(count,)] = self._run(_COUNT_SCHEMAS, server=server, model=model)
        return int(count)

    def schema_mode(self, server: str, model: str, schema: bytes) -> str | None:
        """Return the JSON mode for a schema that the model refused; None if it did not."""
        rows = self._run(_READ_SCHEMA, server=server, model=model, schema_hash=schema)
        return str(rows[0][0]) if rows else None

    def learn_schema_mode(
        self, server: str, model: str, schema: bytes, lesson: Lesson, sentence: str
    ) -> None:
        """Keep the JSON mode for a schema that the model refuses; the oldest give way."""
        self._changes += 1
        self._run(
            _LEARN_SCHEMA,
            server=server,
            model=model,
            schema_hash=schema,
            json_mode=lesson.value,
            sentence=sentence,
            learned_at=self._clock(),
        )
        self._run(_FORGET_OLDEST_SCHEMAS, kept=_MOST_SCHEMAS)

    def _run(self, statement: LiteralString, **values: str | float | bytes) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._open(self._path)
            with self._connection:
                return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError):
            if self._path is None:
                raise
            self._path = None
            self._changes += 1
            self.close()
            return self._run(statement, **values)

    def _open(self, path: Path | None) -> sqlite3.Connection:
        connection = open_shared(path)
        try:
            connection.executescript(_TABLE)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


class ServerDialects:
    """The dialects of one server's models."""

    def __init__(self, dialects: Dialects, server: str, default: Dialect) -> None:
        self._dialects = dialects
        self._server = server
        self._default = default
        self._version = (-1, -1)
        self._by_request: dict[tuple[str, bytes | None], Dialect] = {}

    def of(self, model: str) -> Dialect:
        """Return how a model is asked."""
        return self._default.adopt({fact.feature: fact.value for fact in self.facts(model)})

    def of_request(self, request: ModelRequest) -> Dialect:
        """Return how a model is asked for this request, whose schema it may have refused."""
        version = self._dialects.version()
        if version != self._version or len(self._by_request) >= _MOST_SCHEMAS:
            self._version, self._by_request = version, {}
        schema = None if request.schema is None else _schema_hash(request)
        key = request.model, schema
        dialect = self._by_request.get(key)
        if dialect is None:
            dialect = self._by_request[key] = self._look_up(request.model, schema)
        return dialect

    def _look_up(self, model: str, schema: bytes | None) -> Dialect:
        dialect = self.of(model)
        if schema is None or dialect.json_mode == "words":
            return dialect
        mode = self._dialects.schema_mode(self._server, model, schema)
        return dialect if mode is None else dialect.adopt({"json_mode": mode})

    def facts(self, model: str) -> list[LearnedFact]:
        """Return what was learned of a model."""
        return self._dialects.facts(self._server, model)

    def lessons(self, model: str) -> tuple[str, ...]:
        """Return what was learned of a model, as sentences."""
        lessons = [*map(str, self.facts(model))]
        count = self._dialects.refused_schemas(self._server, model)
        if count:
            schemas = (
                "1 schema that it refused is"
                if count == 1
                else f"{count} schemas that it refused are"
            )
            lessons.append(f"json mode: {schemas} asked for otherwise")
        return tuple(lessons)

    def forget(self, model: str) -> None:
        """Forget what was learned of a model."""
        self._dialects.forget(self._server, model)

    def learn_from(
        self, error: ModelError, request: ModelRequest, dialect: Dialect, *, streams: bool = False
    ) -> bool:
        """Learn from a refusal; return whether to send the request again at once.

        Args:
            error: The refusal.
            request: The request.
            dialect: How it was sent. Another request may have taught the lesson meanwhile.
            streams: Whether a stream was asked for.
        """
        words = _words_of(error)
        lesson = lesson_of(words, request, dialect, streams=streams) if words else None
        if lesson is None:
            return False
        if self.of_request(request).value(lesson.feature) != dialect.value(lesson.feature):
            return True
        model = request.model
        if lesson.is_about_schema:
            schema = _schema_hash(request)
            self._dialects.learn_schema_mode(
                self._server, model, schema, lesson, excerpt_line(words)
            )
        else:
            self._dialects.learn(self._server, model, lesson, excerpt_line(words))
        return True

    def missing_logprobs(self, request: ModelRequest, dialect: Dialect) -> NoLogprobs | None:
        """Return the refusal of a request for logprobs that the model does not give."""
        if not request.top_logprobs or dialect.logprobs == "yes":
            return None
        words = [fact.sentence for fact in self.facts(request.model) if fact.feature == "logprobs"]
        return NoLogprobs(request.model, f"it gives no logprobs. {' '.join(words)}")


def _schema_hash(request: ModelRequest) -> bytes:
    text = "null" if request.schema is None else sorted_text(request.schema)
    return blake2b(text.encode(), digest_size=16).digest()


def _words_of(error: ModelError) -> str:
    """Return the server's own words in a refusal; empty if it says nothing of a dialect."""
    match error:
        case RejectedRequest() | ServerFailure() | UnknownModel():
            return error.detail
        case _:
            return ""
