"""The records of jobs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm import BudgetLimit

JsonObject = Mapping[str, JsonValue]

_SQLITE: Final = "sqlite:///"


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    """Not yet begun, or waiting for its next attempt."""
    RUNNING = "running"
    """A process runs it."""
    CANCELLING = "cancelling"
    """To be cancelled as soon as its process sees the request."""
    PAUSING = "pausing"
    """To pause as soon as its calls in flight are answered."""
    DONE = "done"
    """Ended, with a result."""
    FAILED = "failed"
    """Ended with an error; can be resumed."""
    STOPPED = "stopped"
    """Stopped by its budget; can be resumed with a higher limit."""
    CANCELLED = "cancelled"
    """Cancelled by a caller; can be resumed."""
    PAUSED = "paused"
    """Paused by a caller, with every answer that was paid for; can be resumed."""
    SET_ASIDE = "set aside"
    """Its process was killed several times without progress: only a person resumes it."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in ACTIVE_STATES

    @property
    def needs_answers(self) -> bool:
        """Whether an answer to its open questions still serves it."""
        return self in ACTIVE_STATES and self is not JobState.CANCELLING


MOST_RECOVERIES: Final = 3
"""The most recoveries of a job without progress in between."""

ACTIVE_STATES: Final = frozenset(
    {JobState.WAITING, JobState.RUNNING, JobState.CANCELLING, JobState.PAUSING}
)
"""The states of jobs that a process has to run or to stop."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; `total` is None if it is unknown."""

    done: float = 0.0
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Which limit stopped a job.

    Attributes:
        kind: As `BudgetLimit` calls it.
        minimum: The lowest limit of this kind with which it could go on.
    """

    kind: str
    minimum: float


@dataclass(frozen=True, slots=True)
class ApprovedPlan:
    """The plan that was approved before a job began.

    Attributes:
        plan: What the job was to do and cost.
        approval_id: The recorded approval; empty if the plan needed none.
    """

    plan: Plan
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of long work.

    Attributes:
        id: Its id.
        capability: The name of the capability that it runs.
        arguments: The capability's arguments.
        limit: What it may spend, all attempts together.
        model: The default model of its caller; None for that of the process that runs it.
        attempt: The number of the attempt; counts from 1.
        state: Its state.
        progress: How far it is.
        result: Its result, once it is done.
        error: Why it ended otherwise, as a sentence.
        stop: The limit that stopped it; None if no limit did.
        worked_s: Seconds of work, all attempts together.
        created_at: Seconds since 1970.
        changed_at: Seconds since 1970 of its last heartbeat or change.
        plan: The text of the plan before it began; empty if there was none.
        recoveries: Recoveries after kills since it last made progress.
        answers: The number of its answered calls at its last recovery.
        approved_plan: The plan that was approved; None for jobs of earlier versions.
    """

    id: str
    capability: str
    arguments: JsonObject
    limit: BudgetLimit = field(default_factory=BudgetLimit)
    model: str | None = None
    attempt: int = 1
    state: JobState = JobState.WAITING
    progress: Progress = field(default_factory=Progress)
    result: JsonObject | None = None
    error: str | None = None
    stop: Stop | None = None
    worked_s: float = 0.0
    created_at: float = 0.0
    changed_at: float = 0.0
    plan: str = ""
    recoveries: int = 0
    answers: int = 0
    approved_plan: ApprovedPlan | None = None

    def recoveries_with(self, answers: int) -> int:
        """Return the count of recoveries without progress, one more after a kill now.

        Args:
            answers: The number of its calls that are answered now; new ones are progress.
        """
        return 1 if answers > self.answers else self.recoveries + 1


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt at a job ended."""

    state: JobState
    result: JsonObject | None = None
    error: str | None = None
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job."""

    at: float
    text: str


ReportProgress = Callable[[float, float | None, str | None], Awaitable[None]]
JobFunction = Callable[[Job, ReportProgress], Awaitable[JsonObject]]
Hold = Callable[[str], Awaitable[None]]
"""Holds back a job's new calls, and returns when none is in flight."""


CountAnswers = Callable[[str], Awaitable[int]]
"""Counts the answered model calls of a job, all attempts together."""


async def count_no_answers(job_id: str) -> int:
    """Count no calls."""
    return 0


async def hold_nothing(job_id: str) -> None:
    """Hold nothing back, so that a pause stops the job where it is."""


def sqlite_file(database_url: str) -> Path | None:
    """Return the file that a URL names; None if it names a server."""
    file = database_url.removeprefix(_SQLITE)
    return None if file == database_url else Path(file)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How jobs are kept and run.

    Attributes:
        database_url: `sqlite:///…` or `postgresql://…`.
        at_once: The most jobs that run at once in this process; 0 to only submit jobs, for the
            workers of a shared database or the daemon of this home.
        pause_within_s: The longest that a pause waits for calls in flight.
        heartbeat_s: How often a process writes its heartbeats and looks for new jobs.
        poll_s: How often a caller who waits for a job looks at it.
        tell_every_s: How often a caller who waits gets a report while nothing changes.
    """

    database_url: str
    at_once: int = 4
    pause_within_s: float = 60.0
    heartbeat_s: float = 1.0
    poll_s: float = 0.2
    tell_every_s: float = 8.0

    @property
    def file(self) -> Path | None:
        """The SQLite file of one home; None if workers share a database."""
        return sqlite_file(self.database_url)
