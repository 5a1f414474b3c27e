"""A connection to a Postgres database that several workers share."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.errors import DatabaseFailure
from storage.text.excerpts import excerpt_line

CONNECT_S: Final = 10
# A machine that loses power says nothing: the server finds out by keepalives and frees its locks.
_NOTICE_DEAD: Final = " ".join(
    f"-c tcp_keepalives_{name}={value}"
    for name, value in {"idle": 10, "interval": 5, "count": 3}.items()
)

T = TypeVar("T")
Transaction = Callable[[Connection[TupleRow]], T]


class PostgresLink:
    """One connection, opened at its first use and again after it broke. Its methods block.

    Attributes:
        session: The number of connections so far. The locks of earlier ones are gone.
    """

    def __init__(self, url: str, purpose: str) -> None:
        self.session = 0
        self._url = url
        self._purpose = purpose
        self._connection: Connection[TupleRow] | None = None
        self._using = threading.Lock()

    @property
    def place(self) -> str:
        """The server and database, without user and password."""
        parts = urlsplit(self._url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"

    def run(self, work: Transaction[T], *, may_repeat: bool = True) -> T:
        """Do work in one transaction; repeat it once if the connection was broken.

        Args:
            work: The work; with `may_repeat`, a repetition must do no harm.
            may_repeat: Whether it may be repeated on a new connection.

        Raises:
            DatabaseFailure: The database cannot be reached or refuses the work.
        """
        with self._using:
            try:
                return self._run(work)
            except psycopg.OperationalError as error:
                if not may_repeat:
                    raise self._failure(error) from error
            except (psycopg.Error, UnicodeError) as error:
                raise self._failure(error) from error
            try:
                return self._run(work)
            except (psycopg.Error, UnicodeError) as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> DatabaseFailure:
        return DatabaseFailure(
            f"The workers' database at {self.place} cannot be used: {excerpt_line(error)}. Check "
            "that it runs and that KILN_MCP_DATABASE_URL or --database-url names it, then resume "
            "the job."
        )

    def _run(self, work: Transaction[T]) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_S,
                application_name=f"kiln-mcp {self._purpose}",
                options=_NOTICE_DEAD,
            )
            self.session += 1
        try:
            with self._connection.transaction():
                return work(self._connection)
        except psycopg.OperationalError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection; the database frees its locks."""
        with self._using:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
