"""A call of a capability in the process of the command."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.plan import LONGEST_CODE
from kiln_mcp.catalogue import find_capability, needs_of, open_own_workspace
from kiln_mcp.doors.cli.command_table import CAPABILITIES
from kiln_mcp.doors.cli.daemon_door import DaemonDoor
from kiln_mcp.doors.cli.handover import Answer, confirm_plan, longest_wait, show_progress
from kiln_mcp.doors.cli.job import CommandJob
from kiln_mcp.doors.cli.order_notice import print_notice
from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.errors import unwrap
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.operations.job_control.capability_calls import Outcome, call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from kiln_mcp.workbench.capability import AnyCapability
from kiln_mcp.workbench.needs import Needs
from kiln_mcp.workbench.workspace import Workspace

T = TypeVar("T")

_RUNS_HERE: Final = "This command runs the job itself: the job pauses when the command ends."

_JOB_COMMANDS: Final = frozenset({"resume_job", "check_job"})
"""Capabilities that need a process that runs jobs."""


@dataclass(frozen=True, slots=True)
class TerminalPerson:
    """The person at the terminal of this command.

    Attributes:
        agrees: Whether they agreed to the plan with an option of the command.
    """

    agrees: bool = False

    @property
    def door(self) -> Door:
        """The door of the person's answers."""
        return Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        """Ask the person about the plan; the command waits for the answer."""
        if len(call.plan.code) > LONGEST_CODE:
            click.echo(for_terminal(f"All of the code:\n{call.plan.code}\n"), err=True)
        return Reply.ACCEPT if self.agrees or confirm_plan(call.plan.text) else Reply.DECLINE


def call_here(
    tool: str,
    arguments: Mapping[str, JsonValue],
    daemon: DaemonDoor,
    agrees: bool | None,
    interrupts: Interrupts,
) -> Answer:
    """Call a capability in this process and return its outcome.

    Args:
        tool: The capability.
        arguments: Its arguments.
        daemon: Runs the job that may begin.
        agrees: Whether the person at the terminal agrees to the plan by an option of the command;
            None if nobody is there.
        interrupts: The presses of Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; its job is paused.
        WorkbenchError: The call failed, or its job did.
    """
    item = find_capability(tool)
    person = None if agrees is None else TerminalPerson(agrees)

    async def invoke(job: CommandJob) -> Outcome:
        return await _invoke(job, item, arguments, daemon, person)

    return _answer(anyio.run(_run_until, CommandJob(interrupts), invoke))


def follow_job(
    job_id: str, until: float | None, daemon: DaemonDoor, interrupts: Interrupts
) -> Answer:
    """Wait for a job whose daemon ended, and return its outcome.

    Args:
        job_id: The job.
        until: The end of the wait by the monotonic clock; None for as long as it takes.
        daemon: Continues the job.
        interrupts: The presses of Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the job is paused.
        WorkbenchError: The job failed.
    """

    async def follow(job: CommandJob) -> Outcome:
        problem = await _find(daemon)
        settings = Settings.from_environment(os.environ)
        job.runs_here = problem is not None
        async with _open(replace(settings, does_jobs=job.runs_here)) as workspace:
            own = workspace.with_progress(_report)
            longest_s = None if until is None else max(0.0, until - time.monotonic())
            return await _watch_orders(own, job.follow(own, longest_s))

    return _answer(anyio.run(_run_until, CommandJob(interrupts, job_id), follow))


def pause_job(job_id: str, interrupts: Interrupts) -> None:
    """Pause a job that no daemon could pause, in bounded time, and say how it continues."""
    anyio.run(_pause, CommandJob(interrupts, job_id))


def _open(settings: Settings) -> AbstractAsyncContextManager[Workspace]:
    """Open the workspace of this command, which imports no room for the sake of a next step."""
    return open_own_workspace(settings, _needs_of)


def _needs_of(tool: str) -> Needs:
    entry = CAPABILITIES.get(tool.replace("_", "-"))
    if entry is None:  # of an extension
        return needs_of(tool)
    required = tuple((name,) for name in entry.needs)
    return (*required, entry.alternatives) if entry.alternatives else required


def _answer(outcome: Outcome | None) -> Answer:
    if outcome is None:
        raise KeyboardInterrupt
    return Answer(outcome.status, outcome.data)


async def _run_until(
    job: CommandJob, work: Callable[[CommandJob], Awaitable[Outcome]]
) -> Outcome | None:
    """Do the work of a command; None if Ctrl-C was pressed, and then its job is paused."""
    with job.interrupts.scope() as scope:
        outcome = await work(job)
    if not scope.cancelled_caught:
        return outcome
    if job.id:
        await _pause(job)
    return None


async def _pause(job: CommandJob) -> None:
    submitter = replace(Settings.from_environment(os.environ), does_jobs=False)
    async with _open(submitter) as workspace:
        await job.pause(workspace)


async def _invoke(
    job: CommandJob,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    daemon: DaemonDoor,
    person: TerminalPerson | None,
) -> Outcome:
    settings = Settings.from_environment(os.environ)
    is_local = settings.shared_database_url is None
    problem = None
    if is_local and item.name in _JOB_COMMANDS:
        problem = await _find(daemon)
    # A command ends soon: it submits jobs, and the daemon or a worker runs them.
    submitter = replace(settings, does_jobs=problem is not None)
    async with _open(submitter) as workspace:
        own = replace(workspace, person=person, caller="the command line")
        outcome = await _call(own, item, arguments, as_job=is_local)
        job.id = outcome.job
        if outcome.status != "job" or item.name in _JOB_COMMANDS or await _find(daemon) is None:
            return await _end_of(workspace, job, outcome, arguments)
    job.runs_here = True  # no other process does
    async with _open(settings) as workspace:
        return await _end_of(workspace, job, outcome, arguments)


async def _find(daemon: DaemonDoor) -> str | None:
    problem = await anyio.to_thread.run_sync(daemon.find, abandon_on_cancel=True)
    if problem is not None:
        click.echo(f"kiln-mcp: {problem} {_RUNS_HERE}", err=True)
    return problem


async def _call(
    workspace: Workspace, item: AnyCapability, arguments: Mapping[str, JsonValue], *, as_job: bool
) -> Outcome:
    own = workspace.with_progress(_report)
    return await _watch_orders(
        own,
        call_capability(own, item, arguments, wait_s=0, as_job=as_job),
    )


async def _end_of(
    workspace: Workspace, job: CommandJob, outcome: Outcome, arguments: Mapping[str, JsonValue]
) -> Outcome:
    if outcome.status != "job":
        return outcome
    own = workspace.with_progress(_report)
    return await _watch_orders(own, job.follow(own, longest_wait(arguments)))


async def _watch_orders(workspace: Workspace, work: Awaitable[T]) -> T:
    """Do the work, and tell the person meanwhile where to answer questions to the host."""
    outcomes: list[T] = []
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_announce_orders, workspace)
            outcomes.append(await work)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as error:
        raise unwrap(error) from error
    except anyio.get_cancelled_exc_class():
        if not outcomes:
            raise
        # The caller must learn of a job that began; its next wait is cancelled, too.
    return outcomes[0]


async def _announce_orders(workspace: Workspace) -> None:
    """Print once where to answer, as soon as a question to the host waits."""
    file = workspace.settings.engine.orders
    waiting = 0
    while True:
        await anyio.sleep(workspace.settings.poll_s)
        if file is not None and await anyio.Path(file).exists():
            with suppress(DatabaseFailure):  # the call that asks the host reports it
                waiting = await workspace.engine.orders.open_count()
        if waiting:
            break
    print_notice(waiting)


async def _report(done: float, total: float | None, message: str | None) -> None:
    show_progress(done, total, message)
