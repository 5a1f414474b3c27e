"""Modules of jobs and model calls, imported by a daemon while nobody asks it anything.

The first job would wait for them: DBOS, SQLAlchemy and aiohttp take two thirds of a second. A
daemon that just started answers its first calls before.
"""

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import anyio.to_thread

from kiln_mcp.doors.guard import Activity
from kiln_mcp.garbage import no_collection

MODULES: Final = (
    "kiln_mcp.evals.service",
    "jsonschema",
    "aiohttp",
    "sqlalchemy",
    "psycopg",
    "dbos",
    "kiln_mcp.jobs.job_runner",
)
"""In the order of import; each is a short wait for a request that comes meanwhile."""
QUIET_S: Final = 1.0
"""Seconds without a request before each import."""
_log = logging.getLogger(__name__)


class Preload:
    """Imports modules in a thread, each only while no request is open.

    Args:
        modules: Their names.
        quiet_s: Seconds without a request before each import.
    """

    def __init__(self, modules: Sequence[str] = MODULES, quiet_s: float = QUIET_S) -> None:
        self._modules = list(modules)
        self._quiet_s = quiet_s

    async def advance(self, activity: Activity) -> None:
        """Import what is left until a request comes; call it now and then.

        Args:
            activity: The requests of the daemon.
        """
        while self._modules and activity.idle_for(self._quiet_s):
            await anyio.to_thread.run_sync(_import, self._modules.pop(0))


def _import(name: str) -> None:
    try:
        with no_collection():
            import_module(name)
    except ImportError as error:  # who needs it says so
        _log.warning("%s could not be imported ahead: %s", name, error)
