"""The job of a command: Ctrl-C pauses it, and it survives a kill of the command."""

import time
from dataclasses import dataclass

import anyio
import click

from kiln_mcp.doors.cli.job_notes import PAUSE_WITHIN_S, begin_note, pause_note, unattended_note
from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.jobs import JobState
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import Outcome, job_outcome
from kiln_mcp.operations.job_control.service import LONGEST_WAIT_S as LONGEST_LOOK_S
from kiln_mcp.operations.job_control.service import stop_job, wait_for_job
from kiln_mcp.workbench.workspace import Workspace


@dataclass(slots=True)
class CommandJob:
    """The job of a command.

    Attributes:
        interrupts: The presses of Ctrl-C.
        id: The job's id as soon as it is known; empty again once it is paused.
        runs_here: Whether this command runs it, because no daemon does.
    """

    interrupts: Interrupts
    id: str = ""
    runs_here: bool = False

    async def follow(self, workspace: Workspace, longest_s: float | None) -> Outcome:
        """Wait for the job and return its outcome; pause it if the command is cancelled.

        Args:
            workspace: Shows the progress.
            longest_s: The longest wait; None for as long as it takes.

        Raises:
            WorkbenchError: It failed.
        """
        click.echo(f"kiln-mcp: {begin_note(self.id, runs_here=self.runs_here)}", err=True)
        until = None if longest_s is None else time.monotonic() + longest_s
        try:
            report = await self._wait(workspace, until)
            if self.runs_here and not JobState(report.state).at_rest:
                click.echo(f"kiln-mcp: {unattended_note(self.id)}", err=True)
            return job_outcome(report)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.pause(workspace)
            raise

    async def pause(self, workspace: Workspace) -> None:
        """Pause the job, in bounded time, and say how it continues."""
        job, self.id = self.id, ""
        with anyio.move_on_after(PAUSE_WITHIN_S) as scope:
            await stop_job(workspace, job, pause=True)
        click.echo(f"kiln-mcp: {pause_note(job, in_time=not scope.cancelled_caught)}", err=True)

    async def _wait(self, workspace: Workspace, until: float | None) -> JobReport:
        while True:
            wait_s = LONGEST_LOOK_S if until is None else max(0.0, until - time.monotonic())
            report = await wait_for_job(workspace, self.id, min(wait_s, LONGEST_LOOK_S))
            is_over = until is not None and time.monotonic() >= until
            if JobState(report.state).at_rest or is_over:
                return report
