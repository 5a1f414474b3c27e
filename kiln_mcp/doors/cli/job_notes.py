"""What a command says about its job."""

from typing import Final

PAUSE_WITHIN_S: Final = 15.0


def begin_note(job: str) -> str:
    """Return what to know of a job that has begun."""
    return f"This is the job {job}. Ctrl-C pauses it. If this command is killed, the job continues."


def pause_note(job: str, *, in_time: bool) -> str:
    """Return how a job continues that was to be paused.

    Args:
        job: The job.
        in_time: Whether it is paused.
    """
    if in_time:
        return f"The job is paused; kiln-mcp resume-job --job {job} continues it."
    return (
        f"The job {job} is not paused after {PAUSE_WITHIN_S:.0f} s and may continue. "
        f"kiln-mcp stop-job --job {job} --pause pauses it."
    )
