"""The job of a command: Ctrl-C pauses it, and it survives a kill of the command."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import click

from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.jobs import JobState
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import Outcome, job_outcome
from kiln_mcp.operations.job_control.service import LONGEST_WAIT_S as LONGEST_LOOK_S
from kiln_mcp.operations.job_control.service import stop_job, wait_for_job
from kiln_mcp.workbench.workspace import Workspace

_PAUSE_WITHIN_S = 15.0

Look = Callable[[float], Awaitable[JobReport | None]]
"""Waits for the job for so many seconds; None if that cannot be done this way any more."""


@dataclass(slots=True)
class CommandJob:
    """The job of a command.

    Attributes:
        interrupts: The presses of Ctrl-C.
        id: The job's id as soon as it is known; empty again once it is paused.
        pause_in_daemon: Lets the daemon pause the job; returns False if it cannot. That is quick
            even on a busy machine: this process need not import what runs jobs.
    """

    interrupts: Interrupts
    id: str = ""
    pause_in_daemon: Callable[[str], Awaitable[bool]] | None = None

    async def follow(
        self, workspace: Workspace, longest_s: float | None, look: Look | None = None
    ) -> Outcome:
        """Wait for the job and return its outcome; pause it if the command is cancelled.

        Args:
            workspace: Shows the progress.
            longest_s: The longest wait; None for as long as it takes.
            look: Waits for the job through the daemon, as long as that runs; None for not at all.

        Raises:
            WorkbenchError: It failed.
        """
        click.echo(
            f"kiln-mcp: This is the job {self.id}. Ctrl-C pauses it. If this command is killed, "
            "the job continues.",
            err=True,
        )
        until = None if longest_s is None else time.monotonic() + longest_s
        try:
            return job_outcome(await self._wait(workspace, until, look))
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.pause(workspace)
            raise

    async def pause(self, workspace: Workspace) -> None:
        """Pause the job, in bounded time, and say how it continues."""
        job, self.id = self.id, ""
        with anyio.move_on_after(_PAUSE_WITHIN_S) as scope:
            if self.pause_in_daemon is None or not await self.pause_in_daemon(job):
                await stop_job(workspace, job, pause=True)
        if scope.cancelled_caught:
            text = (
                f"The job {job} is not paused after {_PAUSE_WITHIN_S:.0f} s and may continue. "
                f"kiln-mcp stop-job --job {job} --pause pauses it."
            )
        else:
            text = f"The job is paused; kiln-mcp resume-job --job {job} continues it."
        click.echo(f"kiln-mcp: {text}", err=True)

    async def _wait(
        self, workspace: Workspace, until: float | None, look: Look | None
    ) -> JobReport:
        while True:
            wait_s = LONGEST_LOOK_S if until is None else max(0.0, until - time.monotonic())
            report = None if look is None else await look(wait_s)
            if report is None:
                look = None
                report = await wait_for_job(workspace, self.id, min(wait_s, LONGEST_LOOK_S))
            is_over = until is not None and time.monotonic() >= until
            if JobState(report.state).at_rest or is_over:
                return report
