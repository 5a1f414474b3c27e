"""What is known about a job."""

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
    """Where a job is on its way."""

    WAITING = "waiting"
    """Not yet begun, or to be gone on with."""
    RUNNING = "running"
    """Some process is at it."""
    CANCELLING = "cancelling"
    """To be given up as soon as the process that is at it hears so."""
    PAUSING = "pausing"
    """To rest as soon as the calls on their way are answered."""
    DONE = "done"
    """Ended, with a result."""
    FAILED = "failed"
    """Ended with an error; can be gone on with."""
    STOPPED = "stopped"
    """At the end of its budget; can be gone on with, with a higher limit."""
    CANCELLED = "cancelled"
    """Given up on somebody's wish; can be gone on with."""
    PAUSED = "paused"
    """At rest on somebody's wish, with every call that was paid for; can be gone on with."""
    SET_ASIDE = "set aside"
    """Its process was killed again and again without progress: only a person goes on with it."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in _UNDER_WAY


MOST_RECOVERIES: Final = 3
"""How often a job is begun again after its process was killed, without progress in between."""

_UNDER_WAY = frozenset({JobState.WAITING, JobState.RUNNING, JobState.CANCELLING, JobState.PAUSING})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `total` is None where it is not known."""

    done: float = 0.0
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Which limit stopped a job.

    Attributes:
        kind: As `BudgetLimit` calls it.
        needed: The least limit of this kind with which it could go on.
    """

    kind: str
    needed: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was agreed to before a job began.

    Attributes:
        plan: What it was to do and cost.
        approval_id: The recorded approval; empty if the plan needed none.
    """

    plan: Plan
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of long work.

    Attributes:
        id: By which it is asked for.
        capability: What it does.
        arguments: With what.
        limit: What it may spend, all attempts together.
        model: The default model of who started it; None for that of the process that is at it.
        attempt: How often it was begun or gone on with; counts from 1.
        state: Where it is on its way.
        progress: How far it is.
        result: Its answer, once done.
        error: Why it ended otherwise, as a sentence.
        stop: Which limit stopped it, where one did.
        worked_s: For how long it was worked at, all attempts together.
        created_at: Seconds since 1970.
        changed_at: Seconds since 1970: the last sign of life.
        plan: What was said of it before it began; empty where nothing was.
        recoveries: How often it was begun again after a kill since it last made progress.
        answers: How many calls of it were answered when it was last begun again after a kill.
        agreement: What was agreed to before it began; None for jobs of earlier versions.
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
    agreement: Agreement | None = None

    def recoveries_with(self, answers: int) -> int:
        """Return the count of recoveries without progress, one more after a kill now.

        Args:
            answers: How many of its calls are answered now; new ones are progress.
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
Work = Callable[[Job, ReportProgress], Awaitable[JsonObject]]
Hold = Callable[[str], Awaitable[None]]
"""Keeps a job from asking models anything more; returns when no question is on its way."""


CountAnswers = Callable[[str], Awaitable[int]]
"""Counts the answered model calls of a job, all attempts together."""


async def count_no_answers(job_id: str) -> int:
    """Know of no model calls."""
    return 0


async def hold_nothing(job_id: str) -> None:
    """Hold nothing back: a paused job is stopped where it is."""


def sqlite_file(database_url: str) -> Path | None:
    """Return the file that a URL names; None where it names a server."""
    file = database_url.removeprefix(_SQLITE)
    return None if file == database_url else Path(file)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How jobs are kept and run.

    Attributes:
        database_url: `sqlite:///…` or `postgresql://…`.
        at_once: The most jobs that run at once in this process; 0 to hand jobs in only, for the
            workers of a shared database or the daemon of this home.
        pause_within_s: The longest that a pause waits for the answers on their way.
        heartbeat_s: How often a process shows that it lives and looks for new jobs.
        poll_s: How often one who waits for a job looks at it.
        tell_every_s: How often one who waits is told of a job that stands still.
    """

    database_url: str
    at_once: int = 4
    pause_within_s: float = 60.0
    heartbeat_s: float = 1.0
    poll_s: float = 0.2
    tell_every_s: float = 8.0

    @property
    def file(self) -> Path | None:
        """The SQLite file of one home; None where workers share a database."""
        return sqlite_file(self.database_url)
