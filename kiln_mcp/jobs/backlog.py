"""Whether a home has jobs of a state, by the standard library alone.

Opening the runner imports DBOS and SQLAlchemy, which takes half a second. So it is opened only if
there is something to run or to show.
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from kiln_mcp.jobs.job_records import JobState


def has_jobs(file: Path, states: Collection[JobState]) -> bool:
    """Return whether a home's database holds a job in one of these states.

    A database that cannot be read counts as one with jobs: the runner says what is wrong with it.
    """
    if not file.exists():
        return False
    slots = ", ".join("?" * len(states))
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            statement = f"SELECT 1 FROM kiln_jobs WHERE state IN ({slots}) LIMIT 1"  # noqa: S608
            row = database.execute(statement, [state.value for state in states]).fetchone()
    except sqlite3.Error:
        return True
    return row is not None
