"""Invocation of a capability from the command line.

A running daemon makes the call if it can (`handover`); else this process does (`local_call`).
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from kiln_mcp.doors.cli.current_project import PROJECT, with_project
from kiln_mcp.doors.cli.daemon_door import DaemonDoor, NoDaemon
from kiln_mcp.doors.cli.failures import NOT_APPROVED
from kiln_mcp.doors.cli.handover import (
    LONG_WORK,
    Answer,
    Handover,
    clear_progress,
    may_be_handed_over,
)
from kiln_mcp.doors.cli.next_steps import command_line, properties_of
from kiln_mcp.doors.interrupts import Interrupts
from kiln_mcp.workbench.answer_text import for_terminal, render

if TYPE_CHECKING:
    from pydantic import JsonValue

_NOTICE: Final = frozenset({"status", "plan", "approval_id", "message", "next"})
"""The fields of the answer to a call that was not approved and did nothing."""


def call(
    listing: Mapping[str, Any],
    *,
    needs_project: bool,
    as_json: bool,
    yes: bool = False,
    **options: "JsonValue | tuple[str, ...]",
) -> None:
    """Call a capability and print its answer; ask the person if it needs approval.

    Only a person at a terminal is asked, and `yes` counts only there.
    """
    arguments: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    if needs_project:
        arguments = with_project(arguments)
    daemon: DaemonDoor = click.get_current_context().obj or NoDaemon()
    agrees = yes if sys.stdin.isatty() else None
    interrupts = Interrupts()
    with interrupts.cancel_scopes():
        answer = _hand_over(listing, arguments, daemon, agrees, interrupts)
        if answer is None:
            answer = _call_here(str(listing["name"]), arguments, daemon, agrees, interrupts)
    _print_answer(str(listing["name"]), answer, daemon, arguments.get(PROJECT), as_json=as_json)


def _hand_over(
    listing: Mapping[str, Any],
    arguments: "Mapping[str, JsonValue]",
    daemon: DaemonDoor,
    agrees: bool | None,
    interrupts: Interrupts,
) -> Answer | None:
    """Let a running daemon make a call to its end; None if this process must make it."""
    if not may_be_handed_over(listing, os.environ):
        return None
    tools = interrupts.wait_for(daemon.running_tools)
    if tools is None:
        return None
    is_long = listing["inputSchema"]["properties"].keys() >= LONG_WORK
    return Handover(daemon, tools, agrees, interrupts).call(
        str(listing["name"]), arguments, is_long=is_long
    )


def _call_here(
    tool: str,
    arguments: "Mapping[str, JsonValue]",
    daemon: DaemonDoor,
    agrees: bool | None,
    interrupts: Interrupts,
) -> Answer:
    from kiln_mcp.doors.cli.local_call import call_here

    return call_here(tool, arguments, daemon, agrees, interrupts)


def _print_answer(
    tool: str, answer: Answer, daemon: DaemonDoor, project: "JsonValue", *, as_json: bool
) -> None:
    clear_progress()
    is_carried_out = answer.status not in {"declined", "needs_approval"}
    if is_carried_out or as_json or answer.data.keys() - _NOTICE:
        step_line = partial(
            command_line,
            project=project if isinstance(project, str) else None,
            properties_of=partial(properties_of, daemon),
        )
        text = (
            json.dumps(answer.data, indent=2, ensure_ascii=False)
            if as_json
            else render(answer.data, step_line)
        )
        click.echo(for_terminal(text))
    if not is_carried_out:
        click.echo(f"kiln-mcp: {for_terminal(_notice(tool, answer))}", err=True)
        sys.exit(NOT_APPROVED)


def _notice(tool: str, answer: Answer) -> str:
    plan, approval_id = answer.data.get("plan"), answer.data.get("approval_id")
    if answer.status == "declined":
        return f"{plan} Declined: nothing has been done."
    return (
        f"{plan} This is not approved, and there is no terminal to ask. Approve it in one with "
        f"kiln-mcp approve {approval_id}, then run kiln-mcp {tool.replace('_', '-')} again with "
        f"the same options and --approval-id {approval_id}."
    )
