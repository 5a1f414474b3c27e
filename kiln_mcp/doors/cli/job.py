"""The job of a command: Ctrl-C pauses it, and it survives a kill of the command."""

import time
from collections.abc import Awaitable, Callable

import anyio
import click

from kiln_mcp.jobs import JobState
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import Outcome, job_outcome
from kiln_mcp.operations.job_control.service import LONGEST_WAIT_S as LONGEST_LOOK_S
from kiln_mcp.operations.job_control.service import cancel_job, wait_for_job
from kiln_mcp.workbench.workspace import Workspace

_PAUSE_WITHIN_S = 10.0

Look = Callable[[str, float], Awaitable[JobReport | None]]
"""Waits for a job for so many seconds; None if that cannot be done this way any more."""


async def follow_job(
    workspace: Workspace, job: str, longest_s: float | None, look: Look | None = None
) -> Outcome:
    """Wait for a job and return its outcome.

    Args:
        workspace: Shows the progress.
        job: The job's id.
        longest_s: The longest wait; None for as long as it takes.
        look: Waits for the job through the daemon, as long as that runs; None for not at all.

    Raises:
        WorkbenchError: It failed.
    """
    click.echo(
        f"kiln-mcp: This is the job {job}. Ctrl-C pauses it. If this command is killed, the job "
        "continues.",
        err=True,
    )
    until = None if longest_s is None else time.monotonic() + longest_s
    try:
        return job_outcome(await _wait(workspace, job, until, look))
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_PAUSE_WITHIN_S, shield=True):
            await cancel_job(workspace, job, pause=True)
            command = f"kiln-mcp resume-job --job {job}"
            click.echo(f"kiln-mcp: The job is paused; {command} continues it.", err=True)
        raise


async def _wait(
    workspace: Workspace, job: str, until: float | None, look: Look | None
) -> JobReport:
    while True:
        wait_s = LONGEST_LOOK_S if until is None else max(0.0, until - time.monotonic())
        report = None if look is None else await look(job, wait_s)
        if report is None:
            look = None
            report = await wait_for_job(workspace, job, min(wait_s, LONGEST_LOOK_S))
        if JobState(report.state).at_rest or (until is not None and time.monotonic() >= until):
            return report
