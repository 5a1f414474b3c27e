"""Invocation of a capability from the command line."""

import json
import os
import sys
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.plan import LONGEST_CODE
from kiln_mcp.catalogue import open_own_workspace
from kiln_mcp.doors.cli.current_project import with_project
from kiln_mcp.doors.cli.daemon_door import DaemonDoor, NoDaemon
from kiln_mcp.doors.cli.failures import NOT_APPROVED
from kiln_mcp.doors.cli.handover import Handover, confirm_plan, may_be_handed_over
from kiln_mcp.doors.cli.job import CommandJob
from kiln_mcp.doors.cli.next_steps import command_line
from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.errors import unwrap
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import Outcome, call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import AnyCapability
from kiln_mcp.workbench.plain_text import for_terminal, render
from kiln_mcp.workbench.workspace import Workspace

T = TypeVar("T")

_RUNS_HERE: Final = "This command runs the job itself: the job pauses when the command ends."

_NOTICE: Final = frozenset({"status", "plan", "approval_id", "message", "next"})
"""The fields of the answer to a call that was not approved and did nothing."""
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


def call(
    item: AnyCapability, *, as_json: bool, yes: bool = False, **options: JsonValue | tuple[str, ...]
) -> None:
    """Call a capability and print its answer; ask the person if it needs approval.

    Only a person at a terminal is asked, and `yes` counts only there.
    """
    arguments: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    arguments = with_project(item, arguments)
    daemon: DaemonDoor = click.get_current_context().obj or NoDaemon()
    person = TerminalPerson(yes) if sys.stdin.isatty() else None
    interrupts = Interrupts()
    with interrupts.cancel_scopes():
        outcome = anyio.run(_invoke_until, interrupts, item, arguments, daemon, person)
    if outcome is None:
        raise KeyboardInterrupt
    is_carried_out = outcome.status not in {"declined", "needs_approval"}
    if is_carried_out or as_json or outcome.data.keys() - _NOTICE:
        data = outcome.data
        text = (
            json.dumps(data, indent=2, ensure_ascii=False)
            if as_json
            else render(data, partial(command_line, project=_text(options.get("project"))))
        )
        click.echo(for_terminal(text))
    if not is_carried_out:
        click.echo(f"kiln-mcp: {for_terminal(_notice(item, outcome))}", err=True)
        sys.exit(NOT_APPROVED)


def _text(value: JsonValue | tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) else None


def _notice(item: AnyCapability, outcome: Outcome) -> str:
    plan, approval_id = outcome.data.get("plan"), outcome.data.get("approval_id")
    if outcome.status == "declined":
        return f"{plan} Declined: nothing has been done."
    command = item.name.replace("_", "-")
    return (
        f"{plan} This is not approved, and there is no terminal to ask. Approve it in one with "
        f"kiln-mcp approve {approval_id}, then run kiln-mcp {command} again with the same options "
        f"and --approval-id {approval_id}."
    )


async def _invoke_until(
    interrupts: Interrupts,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    daemon: DaemonDoor,
    person: TerminalPerson | None,
) -> Outcome | None:
    """Invoke a capability; None if Ctrl-C was pressed, and then its job is paused."""
    job = CommandJob(interrupts)
    with interrupts.scope() as scope:
        outcome = await _invoke(job, item, arguments, daemon, person)
    if not scope.cancelled_caught:
        return outcome
    if job.id:
        submitter = replace(Settings.from_environment(os.environ), does_jobs=False)
        async with open_own_workspace(submitter) as workspace:
            await job.pause(workspace)
    return None


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
    async with open_own_workspace(submitter) as workspace:
        own = replace(workspace, person=person, caller="the command line")
        if is_local and may_be_handed_over(item, os.environ):
            outcome = await _hand_over(own, job, item, arguments, daemon)
            if outcome is not None:
                return outcome
        outcome = await _call(own, item, arguments, as_job=is_local)
        job.id = outcome.job
        if outcome.status != "job" or item.name in _JOB_COMMANDS or await _find(daemon) is None:
            return await _end_of(workspace, job, outcome, arguments)
    # No other process runs the job, so this command does.
    async with open_own_workspace(settings) as workspace:
        return await _end_of(workspace, job, outcome, arguments)


async def _hand_over(
    workspace: Workspace,
    job: CommandJob,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    daemon: DaemonDoor,
) -> Outcome | None:
    """Let a running daemon make a call to its end; None if this process must make it."""
    tools = await anyio.to_thread.run_sync(daemon.running_tools, abandon_on_cancel=True)
    if tools is None:
        return None
    person = workspace.person
    agrees = person.agrees if isinstance(person, TerminalPerson) else None
    own = workspace.with_progress(_show_progress)
    handover = Handover(own, tools, agrees, job.interrupts)
    outcome = await _watch_orders(own, handover.call(item, arguments))
    if outcome is None or outcome.status != "job":
        return outcome
    job.id, job.pause_in_daemon = outcome.job, handover.pause

    async def look(wait_s: float) -> JobReport | None:
        report = await handover.follow(job.id, wait_s)
        if report is None:
            await _find(daemon)  # the job continues in another one
        return report

    return await _watch_orders(own, job.follow(own, _longest_wait(arguments), look))


async def _find(daemon: DaemonDoor) -> str | None:
    problem = await anyio.to_thread.run_sync(daemon.find, abandon_on_cancel=True)
    if problem is not None:
        click.echo(f"kiln-mcp: {problem} {_RUNS_HERE}", err=True)
    return problem


async def _call(
    workspace: Workspace, item: AnyCapability, arguments: Mapping[str, JsonValue], *, as_job: bool
) -> Outcome:
    own = workspace.with_progress(_show_progress)
    return await _watch_orders(
        own,
        call_capability(own, item, arguments, wait_s=0, as_job=as_job),
    )


async def _end_of(
    workspace: Workspace, job: CommandJob, outcome: Outcome, arguments: Mapping[str, JsonValue]
) -> Outcome:
    if outcome.status != "job":
        return outcome
    own = workspace.with_progress(_show_progress)
    return await _watch_orders(own, job.follow(own, _longest_wait(arguments)))


def _longest_wait(arguments: Mapping[str, JsonValue]) -> float | None:
    """Return how long the person wants to wait for a job; None for as long as it takes."""
    wait_s = arguments.get("wait_s")
    return float(wait_s) if isinstance(wait_s, int | float) else None


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
    waits = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
    click.echo(
        f"kiln-mcp: {waits} for the model 'host', which is a connected assistant: tell it to "
        "answer the work orders. You can answer yourself in another shell with kiln-mcp "
        "answer-work-orders.",
        err=True,
    )


async def _show_progress(done: float, total: float | None, message: str | None) -> None:
    if sys.stderr.isatty():
        share = f"{done:g}/{total:g} " if total else f"{done:g} " if done >= 1 else ""
        click.echo(f"\r\x1b[K{share}{for_terminal(message or '')}", err=True, nl=False)
        if total and done >= total:
            click.echo("", err=True)
