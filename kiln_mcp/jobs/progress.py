"""How far a job is over all its attempts: never less far than it was said to be before.

A capability begins anew after a kill or a pause, and counts from nothing. Either it goes through
everything again, answered from the journal, or it plans what is left; and it may do one thing
after another, each with a total of its own.
"""

from kiln_mcp.jobs.records import Progress


class Course:
    """Makes the progress of a job of what its newest attempt reports."""

    def __init__(self, before: Progress) -> None:
        """Set up.

        Args:
            before: How far earlier attempts came.
        """
        self._before = before
        self._shown = before
        self._over = 0.0
        self._done = 0.0
        self._total: float | None = None
        self._left_out: float | None = None

    def at(self, done: float, total: float | None, message: str | None) -> Progress:
        """Return how far the job is.

        Args:
            done: As the capability counts.
            total: What there is to do, as the capability counts; None where it does not know.
            message: What it does.
        """
        self._count(done, total)
        in_all = self._over + self._done + (self._left_out or 0.0)
        so_far = max(in_all, self._shown.done)
        said = message or ""
        if in_all < self._before.done:
            again = f"Going through what was done before: {in_all:g} of {self._before.done:g}."
            said = f"{again} {said}".strip()
        self._shown = Progress(*self._within(so_far), said)
        return self._shown

    def at_its_end(self) -> Progress | None:
        """Return how far a job is that is done; None where it is what was said last."""
        total = self._shown.total
        if total is None or self._shown.done == total or self._done != self._total:
            return None
        return Progress(total, total, self._shown.message)

    def _count(self, done: float, total: float | None) -> None:
        """Take in a report: of the same thing as before, or of the next."""
        if total is None:
            if self._total is None:
                self._done = max(done, self._done)
            return
        if self._total is None:
            self._done = done
        elif total != self._total or (done < self._done and self._done >= self._total):
            self._over += self._done
            self._done = done
        else:
            self._done = max(done, self._done)
        self._total = total
        if self._left_out is None:  # a total smaller than before is that of what is left
            self._left_out = max(0.0, (self._before.total or 0.0) - total)

    def _within(self, so_far: float) -> tuple[float, float | None]:
        """Return what is done, and of how much."""
        if self._total is None:
            earlier = self._before.total  # 0 is a total: an attempt that had nothing to do
            return (so_far if earlier is None else min(so_far, earlier)), earlier
        in_all = self._over + self._total + (self._left_out or 0.0)
        total = max(in_all, self._before.total or 0.0, self._shown.done)
        return min(so_far, total), total
