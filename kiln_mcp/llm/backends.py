"""The response cache and the limits: of one machine, or of all workers of a shared database."""

from typing import Final

from kiln_mcp.llm.engine_settings import EngineSettings
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.limits.shared_limits import SharedLimits
from kiln_mcp.llm.response_cache.cache import ResponseCache
from kiln_mcp.llm.response_cache.sqlite import SqliteResponseCache

_NO_DRIVER: Final = (
    "The workers' database cannot be used: psycopg is not installed. Install it with "
    "pip install 'kiln-mcp-server[postgres]', then try again."
)


def open_response_cache(settings: EngineSettings) -> ResponseCache:
    """Return the response cache of the shared database if one is configured, else of this machine.

    Raises:
        DatabaseFailure: Its driver is not installed.
    """
    if settings.shared_database_url is None:
        return SqliteResponseCache(settings.response_cache)
    try:
        from kiln_mcp.llm.response_cache.postgres import PostgresResponseCache
    except ImportError as error:
        raise DatabaseFailure(_NO_DRIVER) from error
    return PostgresResponseCache(settings.shared_database_url)


def open_limits(settings: EngineSettings) -> SharedLimits | None:
    """Return the limits that hold for all workers together; None for one process.

    Raises:
        DatabaseFailure: The database's driver is not installed.
    """
    if settings.shared_database_url is None:
        return None
    try:
        from kiln_mcp.llm.limits.postgres_limits import PostgresLimits
    except ImportError as error:
        raise DatabaseFailure(_NO_DRIVER) from error
    return PostgresLimits(settings.shared_database_url)
