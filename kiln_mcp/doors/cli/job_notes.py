"""What a command says about its job."""

from typing import Final

PAUSE_WITHIN_S: Final = 15.0


def begin_note(job: str, *, runs_here: bool = False) -> str:
    """Return what to know of a job that has begun.

    Args:
        job: The job.
        runs_here: Whether this command runs it, because no daemon does.
    """
    if runs_here:
        return f"This is the job {job}. Ctrl-C pauses it."
    return f"This is the job {job}. Ctrl-C pauses it. If this command is killed, the job continues."


def unattended_note(job: str) -> str:
    """Return how a job continues that this command ran, and that is not done when it ends."""
    return (
        f"The job {job} is not done, and nothing runs it now. kiln-mcp check-job --job {job} "
        "--seconds 300 goes on with it, and so does kiln-mcp serve."
    )


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
