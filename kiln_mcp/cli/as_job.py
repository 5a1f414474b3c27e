"""Let the daemon of the home do what asks models, so that one process keeps all limits."""

from collections.abc import Mapping

import anyio
import click
from pydantic import JsonValue

from kiln_mcp.jobs import JobState
from kiln_mcp.operations.answers import JobReport
from kiln_mcp.operations.errors import JobNotDone
from kiln_mcp.operations.service import NO_JOB, cancel_job, start_job, wait_for_job
from kiln_mcp.workspace import Workspace

_LAST_WORD_S = 10.0


async def do_as_job(
    workspace: Workspace, tool: str, arguments: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """Hand a tool in as a job, wait for it and return its answer.

    Ctrl-C pauses the job; it outlives this process where that is killed.

    Raises:
        ApprovalNeeded: The person must be asked first.
        JobNotDone: It ended otherwise than done.
    """
    given = {name: value for name, value in arguments.items() if name != "confirm"}
    agreed = workspace.for_call(confirmed=arguments.get("confirm") is True)
    report = await start_job(agreed, tool, given)
    if report.job != NO_JOB:
        click.echo(
            f"kiln-mcp: This is the job {report.job}. Ctrl-C pauses it; where this command is "
            "killed, it goes on.",
            err=True,
        )
        report = await _end_of(workspace, report)
    if report.result is None:
        raise JobNotDone(report.job, report.state, report.error)
    return report.result


async def _end_of(workspace: Workspace, report: JobReport) -> JobReport:
    try:
        while not JobState(report.state).at_rest:
            report = await wait_for_job(workspace, report.job)
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_LAST_WORD_S, shield=True):
            await cancel_job(workspace, report.job, pause=True)
            again = f"kiln-mcp resume-job --job {report.job}"
            click.echo(f"kiln-mcp: The job is paused; {again} goes on.", err=True)
        raise
    return report
