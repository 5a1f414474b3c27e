"""The database of jobs: SQLite for one machine, Postgres for several."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from kiln_mcp.jobs.errors import JobStoreFailure
from kiln_mcp.jobs.job_records import sqlite_file
from storage.sqlite_files import make_private, share


def open_database(url: str) -> sa.Engine:
    """Open the database of jobs.

    DBOS's own SQLite settings wait for the disk at every step: measured nine times slower than
    WAL with synchronous=NORMAL, which loses nothing when the process is killed.
    """
    file = sqlite_file(url)
    if file is None:
        return sa.create_engine(
            url.replace("postgres://", "postgresql://").replace(
                "postgresql://", "postgresql+psycopg://"
            ),
            pool_pre_ping=True,
        )
    make_private(file)
    engine = sa.create_engine(url)

    def set_up(connection: Any, _: object) -> None:  # the driver's connection, untyped
        share(connection)

    event.listen(engine, "connect", set_up)
    return engine


@contextmanager
def database_errors(database: sa.Engine) -> Generator[None]:
    """Raise the failures of a database as sentences that say what to do.

    Raises:
        JobStoreFailure: The database cannot be used.
    """
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else None
        reason = cause if isinstance(cause, Exception) else error
        url = database.url
        is_file = sqlite_file(str(url)) is not None
        place = url.database if is_file else url.render_as_string(hide_password=True)
        raise JobStoreFailure(place or "memory", reason, is_file=is_file) from error
