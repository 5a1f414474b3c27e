"""The status line: the model, what the chat has cost, how full its context is, mode and jobs."""

from dataclasses import dataclass, field

from rich.cells import cell_len

from agent.events import CostChanged, JobChanged
from agent.fences import printable
from agent.modes import Mode
from agent.terminal.plots import progress_bar

ENDED = frozenset({"done", "failed", "stopped", "cancelled", "set_aside", "error", "paused"})
"""States of a job that no longer changes by itself."""


@dataclass(slots=True)
class Status:
    """What the status line says.

    Attributes:
        model: The model; empty for none.
        mode: How much may be done without a question.
        project: The project that commands are about; empty for none.
        cost: What the chat has taken.
        jobs: The jobs that run, by their ids.
    """

    model: str = ""
    mode: Mode = Mode.ASK
    project: str = ""
    cost: CostChanged = field(default_factory=lambda: CostChanged(0.0, 0, 0, 0, None))
    jobs: dict[str, JobChanged] = field(default_factory=dict[str, JobChanged])

    def note_job(self, job: JobChanged) -> None:
        """Keep the state of a job, until it ends."""
        if job.state in ENDED:
            self.jobs.pop(job.job, None)
        else:
            self.jobs[job.job] = job

    def line(self, columns: int) -> str:
        """Return the line; where the columns do not suffice, its last parts are left out."""
        parts = [self.model or "no model", f"mode {self.mode}", *self._job_parts()]
        parts += [self.cost.price, f"{self.cost.tokens:,} tokens"]
        parts += [part for part in (self._context(), self.project) if part]
        line = ""
        for part in parts:
            longer = f"{line} · {printable(part)}" if line else printable(part)
            if cell_len(longer) > columns - 2:
                break
            line = longer
        return f" {line} "[:columns]

    def _context(self) -> str:
        tokens, limit = self.cost.context_tokens, self.cost.context_limit
        if not tokens:
            return ""
        share = f"context {100 * tokens / limit:.0f} %" if limit else ""
        cached = f"{100 * self.cost.cached_tokens / tokens:.0f} % cached"
        parts = (share, cached if self.cost.cached_tokens else "")
        return ", ".join(part for part in parts if part)

    def _job_parts(self) -> list[str]:
        parts = [job_words(job) for job in self.jobs.values()]
        if len(parts) > 2:
            return [*parts[:2], f"{len(parts) - 2} more jobs"]
        return parts


def job_words(job: JobChanged) -> str:
    """Return a job's progress in a few words."""
    bar = progress_bar(job.done, job.total, 8)
    share = f"{job.done:g}/{job.total:g}" if job.total else ""
    return " ".join(word for word in ("job", job.job[:12], bar, share or job.state) if word)
