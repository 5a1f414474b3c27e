"""Call a capability from the command line, and print its answer."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.plan import LONGEST_CODE
from kiln_mcp.approvals.records import Door, ProposedCall
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli.failures import NOT_APPROVED
from kiln_mcp.doors.cli.job import follow_job
from kiln_mcp.doors.cli.next_steps import command_line
from kiln_mcp.errors import unwrap
from kiln_mcp.llm.errors import OrdersFailed
from kiln_mcp.operations.job_control.calls import Outcome, call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import AnyCapability
from kiln_mcp.workbench.plain_text import for_terminal, render
from kiln_mcp.workbench.workspace import Workspace

_LOOK_EVERY_S = 1.0
_NOTICE: Final = frozenset({"status", "plan", "approval_id", "message", "next"})
"""What the answer holds to a call that was not approved, if nothing of it was done."""
_JOBS_WANTED: Final = frozenset({"resume_job", "wait_for_job"})
"""Capabilities for which somebody must do jobs."""

FindDaemon = Callable[[], str | None]
"""Finds or starts the daemon; returns why there is none, where there is none."""


def find_none() -> str | None:
    """Find no daemon: nobody has said how."""
    return "no daemon is known here."


@dataclass(frozen=True, slots=True)
class TerminalPerson:
    """The person at the terminal of this command.

    Attributes:
        agrees: Whether they agreed to the plan with the command itself.
    """

    agrees: bool = False

    @property
    def door(self) -> Door:
        """Where the person answers."""
        return Door.TERMINAL

    async def ask(self, call: ProposedCall) -> Reply:
        """Put the plan to the person; nothing else of this command goes on meanwhile."""
        if len(call.plan.code) > LONGEST_CODE:
            click.echo(for_terminal(f"All of the code:\n{call.plan.code}\n"), err=True)
        text = f"{for_terminal(call.plan.text)} Go ahead?"
        return Reply.ACCEPT if self.agrees or click.confirm(text, err=True) else Reply.DECLINE


def call(
    item: AnyCapability, *, as_json: bool, yes: bool = False, **options: JsonValue | tuple[str, ...]
) -> None:
    """Call a capability and print its answer; ask the person where it needs approval.

    Only a person at a terminal is asked, and only there does `yes` count.
    """
    arguments: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    find_daemon: FindDaemon = click.get_current_context().obj or find_none
    person = TerminalPerson(yes) if sys.stdin.isatty() else None
    outcome = anyio.run(_invoke, item, arguments, find_daemon, person)
    approved = outcome.status not in {"declined", "needs_approval"}
    if approved or as_json or outcome.data.keys() - _NOTICE:
        data = outcome.data
        text = (
            json.dumps(data, indent=2, ensure_ascii=False)
            if as_json
            else render(data, command_line)
        )
        click.echo(for_terminal(text))
    if not approved:
        click.echo(f"kiln-mcp: {for_terminal(_notice(item, outcome))}", err=True)
        sys.exit(NOT_APPROVED)


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


async def _invoke(
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    find_daemon: FindDaemon,
    person: TerminalPerson | None,
) -> Outcome:
    settings = Settings.from_environment(os.environ)
    alone = settings.shared_database_url is None
    nobody = None
    if alone and item.name in _JOBS_WANTED:
        nobody = await _find(find_daemon)
    # A command soon ends: it hands jobs in, and the daemon or a worker does them.
    handing_in = replace(settings, does_jobs=nobody is not None)
    async with installed_catalogue().open_workspace(handing_in) as workspace:
        mine = replace(workspace, person=person, caller="the command line")
        outcome = await _call(mine, item, arguments, as_job=alone)
        if outcome.status != "job" or item.name in _JOBS_WANTED or await _find(find_daemon) is None:
            return await _end_of(workspace, outcome, arguments)
    # Nobody else does the job, so this command does.
    async with installed_catalogue().open_workspace(settings) as workspace:
        return await _end_of(workspace, outcome, arguments)


async def _find(find_daemon: FindDaemon) -> str | None:
    nobody = await anyio.to_thread.run_sync(find_daemon)
    if nobody is not None:
        click.echo(f"kiln-mcp: {nobody} Jobs pause when this command ends.", err=True)
    return nobody


async def _call(
    workspace: Workspace, item: AnyCapability, arguments: Mapping[str, JsonValue], *, as_job: bool
) -> Outcome:
    heard = workspace.with_progress(_show_progress)
    return await _beside_orders(
        heard, call_capability(heard, item, arguments, wait_s=0, as_job=as_job)
    )


async def _end_of(
    workspace: Workspace, outcome: Outcome, arguments: Mapping[str, JsonValue]
) -> Outcome:
    if outcome.status != "job":
        return outcome
    wait_s = arguments.get("wait_s")
    longest = float(wait_s) if isinstance(wait_s, int | float) else None
    heard = workspace.with_progress(_show_progress)
    return await _beside_orders(heard, follow_job(heard, outcome.job, longest))


async def _beside_orders(workspace: Workspace, work: Awaitable[Outcome]) -> Outcome:
    """Do the work, and say beside it where questions to the host can be answered."""
    outcome = Outcome("done", {})
    try:
        async with anyio.create_task_group() as beside:
            beside.start_soon(_say_who_is_waited_for, workspace)
            outcome = await work
            beside.cancel_scope.cancel()
    except BaseExceptionGroup as error:
        raise unwrap(error) from error
    return outcome


async def _say_who_is_waited_for(workspace: Workspace) -> None:
    """Say once where an answer can be given, when a question to the host waits for one."""
    file = workspace.settings.engine.orders
    waiting = 0
    while True:
        await anyio.sleep(_LOOK_EVERY_S)
        if file is not None and await anyio.Path(file).exists():
            with suppress(OrdersFailed):  # who asks the host is told
                waiting = await workspace.engine.orders.open_count()
        if waiting:
            break
    waits = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
    click.echo(
        f"kiln-mcp: {waits} for the model 'host', which is you or a connected assistant. Take it "
        "in another shell with kiln-mcp take-work-orders, and answer with kiln-mcp "
        "answer-work-orders.",
        err=True,
    )


async def _show_progress(done: float, total: float | None, message: str | None) -> None:
    if sys.stderr.isatty():
        share = f"{done:g}/{total:g} " if total else f"{done:g} " if done >= 1 else ""
        click.echo(f"\r\x1b[K{share}{for_terminal(message or '')}", err=True, nl=False)
        if total and done >= total:
            click.echo("", err=True)
