"""The journal: every answer that a model ever gave, with what it cost and who asked.

One row a call, never changed. An answer to a request that was asked before, with the same sample
number, is read from here. Keys never come here: a row holds a hash of the request and the answer.
"""

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import anyio.to_thread

from kiln_mcp.llm.errors import JournalFailed
from kiln_mcp.llm.messages import (
    Alternative,
    ModelAnswer,
    ModelRequest,
    TokenLogprob,
    ToolCall,
    Usage,
)

_SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 16),
    sample INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    asker TEXT NOT NULL,
    model TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (json_valid(answer)),
    problem TEXT,
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    cached_tokens INTEGER NOT NULL CHECK (cached_tokens >= 0),
    cost_usd REAL,
    latency_s REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS calls_by_request ON calls (request_hash, sample, id);
CREATE INDEX IF NOT EXISTS calls_by_asker ON calls (asker);
"""
_INSERT: Final[LiteralString] = """
INSERT INTO calls (request_hash, sample, asked_at, asker, model, answer, problem, input_tokens,
    output_tokens, cached_tokens, cost_usd, latency_s)
VALUES (:request_hash, :sample, :asked_at, :asker, :model, :answer, :problem, :input_tokens,
    :output_tokens, :cached_tokens, :cost_usd, :latency_s)
"""
_NEWEST: Final[LiteralString] = """
SELECT answer, problem, input_tokens, output_tokens, cached_tokens, cost_usd, latency_s FROM calls
WHERE request_hash = :request_hash AND sample = :sample ORDER BY id DESC LIMIT 1
"""
_SPENT: Final[LiteralString] = """
SELECT model, count(*), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
    total(cost_usd), sum(cost_usd IS NULL)
FROM calls WHERE asker GLOB :asker GROUP BY model ORDER BY model
"""
_PRAGMAS: Final[tuple[LiteralString, ...]] = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 10000",
)

Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An answer as the journal keeps it; `problem` says why it does not fit its schema."""

    answer: ModelAnswer
    problem: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What some asker has spent on one model; unpriced calls have no known price."""

    model: str
    usage: Usage
    unpriced_calls: int


def request_key(request: ModelRequest, identity: str) -> Key:
    """Return what makes two requests the same: everything but who asks.

    Args:
        request: What is asked.
        identity: The model behind the name: its address or file, so that a changed
            configuration does not answer from another model's memory.
    """
    content = (
        identity,
        [
            (message.role, message.content, message.tool_call_id, *map(_call, message.tool_calls))
            for message in request.messages
        ],
        request.schema,
        request.choices,
        request.temperature,
        request.max_tokens,
        request.seed,
        request.stop,
        request.top_logprobs,
        [(tool.name, tool.description, tool.parameters) for tool in request.tools],
    )
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).digest(), request.sample


def _call(call: ToolCall) -> tuple[str, str, str]:
    return call.id, call.name, call.arguments


def _answer_text(answer: ModelAnswer) -> str:
    parts: dict[str, Any] = {"text": answer.text, "finish": answer.finish}
    if answer.parsed is not None:
        parts["parsed"] = answer.parsed
    if answer.reasoning:
        parts["reasoning"] = answer.reasoning
    if answer.tool_calls:
        parts["tool_calls"] = [_call(call) for call in answer.tool_calls]
    if answer.logprobs:
        parts["logprobs"] = [
            (entry.token, entry.logprob, [(o.token, o.logprob) for o in entry.alternatives])
            for entry in answer.logprobs
        ]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def _read_answer(text: str, usage: Usage, latency_s: float) -> ModelAnswer:
    parts: dict[str, Any] = json.loads(text)
    return ModelAnswer(
        text=parts["text"],
        parsed=parts.get("parsed"),
        usage=usage,
        finish=parts["finish"],
        logprobs=tuple(
            TokenLogprob(token, logprob, tuple(Alternative(*other) for other in others))
            for token, logprob, others in parts.get("logprobs", ())
        ),
        tool_calls=tuple(ToolCall(*call) for call in parts.get("tool_calls", ())),
        reasoning=parts.get("reasoning", ""),
        latency_s=latency_s,
        journalled=True,
    )


Row = dict[str, bytes | str | int | float | None]
Written = asyncio.Future[None]


class Journal:
    """The journal of one process; several processes may share a file.

    Rows are written by one thread that puts all that wait into one transaction. A row is read in
    the event loop: a point lookup in WAL mode takes microseconds and never waits for a writer.
    """

    def __init__(self, path: Path | None) -> None:
        """Name the file; None for one that is deleted at the end."""
        self._path = path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: queue.SimpleQueue[tuple[Row, Written] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._folder: TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._connection = await anyio.to_thread.run_sync(self._open)
        writing = await anyio.to_thread.run_sync(self._open)
        self._writer = threading.Thread(
            target=self._write_rows, args=(writing,), name="journal", daemon=True
        )
        self._writer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        if self._writer is not None:
            # Bounded: what waits is written, and nothing new is taken after the None.
            await anyio.to_thread.run_sync(self._writer.join, 30)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._folder is not None:
            self._folder.cleanup()

    def _open(self) -> sqlite3.Connection:
        try:
            if self._path is None:
                self._folder = TemporaryDirectory(prefix="kiln-mcp-")
                self._path = Path(self._folder.name, "journal.sqlite")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise JournalFailed(self._path, str(error)) from error
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalFailed(self._path, "it is not open")
        return self._connection

    def read(self, key: Key) -> JournalEntry | None:
        """Return the newest answer to a request, or None where it was never answered.

        Raises:
            JournalFailed: The file cannot be read.
        """
        try:
            row = (
                self._opened()
                .execute(_NEWEST, {"request_hash": key[0], "sample": key[1]})
                .fetchone()
            )
        except sqlite3.Error as error:
            raise JournalFailed(self._path, str(error)) from error
        if row is None:
            return None
        answer, problem, read, written, cached, cost_usd, latency_s = row
        usage = Usage(read, written, cached, cost_usd)
        return JournalEntry(_read_answer(answer, usage, latency_s), problem)

    async def write(self, key: Key, model: str, asker: str, entry: JournalEntry) -> None:
        """Remember an answer; returns when it is in the file.

        Raises:
            JournalFailed: It cannot be written, for example because the disk is full.
        """
        if self._loop is None:
            raise JournalFailed(self._path, "it is not open")
        answer = entry.answer
        row: Row = {
            "request_hash": key[0],
            "sample": key[1],
            "asked_at": time.time(),
            "asker": asker,
            "model": model,
            "answer": _answer_text(answer),
            "problem": entry.problem,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cached_tokens": answer.usage.cached_tokens,
            "cost_usd": answer.usage.cost_usd,
            "latency_s": answer.latency_s,
        }
        written: Written = self._loop.create_future()
        self._waiting.put((row, written))
        # The answer has been paid for: a cancelled asker must not lose it, and the row is written
        # whether or not anyone still waits.
        await written

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return what was spent, by model; `asker` may hold `*` as in file names.

        Raises:
            JournalFailed: The file cannot be read.
        """
        connection = self._opened()
        try:
            rows = await anyio.to_thread.run_sync(
                lambda: connection.execute(_SPENT, {"asker": asker}).fetchall()
            )
        except sqlite3.Error as error:
            raise JournalFailed(self._path, str(error)) from error
        return tuple(
            Spending(model, Usage(read, written, cached, cost_usd, calls), unpriced)
            for model, calls, read, written, cached, cost_usd, unpriced in rows
        )

    def _write_rows(self, connection: sqlite3.Connection) -> None:
        open_ended = True
        while open_ended:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            entries = [entry for entry in batch if entry is not None]
            open_ended = len(entries) == len(batch)
            failure: JournalFailed | None = None
            try:
                with self._transaction(connection):
                    connection.executemany(_INSERT, [row for row, _ in entries])
            except sqlite3.Error as error:
                failure = JournalFailed(self._path, str(error))
            self._settle([written for _, written in entries], failure)
        connection.close()

    @staticmethod
    @contextmanager
    def _transaction(connection: sqlite3.Connection) -> Generator[None]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _settle(self, futures: list[Written], failure: JournalFailed | None) -> None:
        def settle() -> None:
            for future in futures:
                if future.done():
                    continue
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)

        if self._loop is not None and futures:
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(settle)
