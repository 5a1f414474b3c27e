"""Hand long work to a running daemon, which plans it and carries it out.

The command then neither plans nor imports what runs jobs. Whatever the daemon refuses is called in
this process instead, so that each refusal is said in the words of the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.doors.cli.daemon_door import DaemonTools
from kiln_mcp.doors.interrupts import Interrupts, ask_with_interrupts
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import Outcome, decline_outcome, job_outcome
from kiln_mcp.operations.job_control.service import LONGEST_WAIT_S
from kiln_mcp.workbench.capability import AnyCapability, Effect, Runs
from kiln_mcp.workbench.plain_text import for_terminal
from kiln_mcp.workbench.workspace import Workspace

_OWN_SETTINGS: Final = frozenset({"KILN_MCP_ITEM_SECONDS", "KILN_MCP_ITEM_MB", "KILN_MCP_GGUF"})
"""Settings of a process that are not sent with a call; with one of them, nothing is handed over."""

_ANSWER_WITHIN_S: Final = 10.0
"""How long after Ctrl-C the daemon may take to say whether it has begun a job."""


def confirm_plan(plan: str) -> bool:
    """Return whether the person at the terminal agrees to a plan."""
    question = f"{for_terminal(plan)} Go ahead?"
    return ask_with_interrupts(partial(click.confirm, question, err=True))


def may_be_handed_over(item: AnyCapability, environment: Mapping[str, str]) -> bool:
    """Return whether a call can be made by the daemon for this command."""
    is_long = item.runs is Runs.AS_JOB and item.effect is Effect.SPENDS
    return is_long and not _OWN_SETTINGS.intersection(environment)


@dataclass(frozen=True, slots=True)
class Handover:
    """A call that the daemon makes.

    Attributes:
        workspace: Of the command; it shows progress and resolves the project's name.
        tools: The daemon's.
        agrees: Whether the person at the terminal agrees to the plan by an option of the command;
            None if nobody is there.
        interrupts: The presses of Ctrl-C. A call that may begin a job has time to say so.
    """

    workspace: Workspace
    tools: DaemonTools
    agrees: bool | None
    interrupts: Interrupts = field(default_factory=Interrupts)

    async def call(self, item: AnyCapability, arguments: Mapping[str, JsonValue]) -> Outcome | None:
        """Make a call; None if this process must make it, because the daemon refused or ended."""
        values: dict[str, JsonValue] = {**arguments, "wait_s": 0}
        if isinstance(project := values.get("project"), str):
            values["project"] = str(await self.workspace.project_folder(project))
        while True:
            with self.interrupts.scope(_ANSWER_WITHIN_S) as scope:
                data = await self._ask(item.name, values)
            if scope.cancelled_caught or data is None:
                return None
            if data.get("status") != "needs_approval" or self.agrees is None:
                return _outcome_in(data)
            await anyio.lowlevel.checkpoint_if_cancelled()
            plan, approval_id = str(data.get("plan")), str(data.get("approval_id"))
            if not await self._approve(plan, approval_id):
                return decline_outcome(plan)
            values["approval_id"] = approval_id

    async def follow(self, job: str, wait_s: float) -> JobReport | None:
        """Wait for a job; None if the daemon ended meanwhile."""
        data = await self._ask("check_job", {"job": job, "seconds": min(wait_s, LONGEST_WAIT_S)})
        return None if data is None else JobReport.model_validate(data)

    async def pause(self, job: str) -> bool:
        """Pause a job; return False if the daemon refused or ended."""
        return await self._ask("stop_job", {"job": job, "pause": True}) is not None

    async def _approve(self, plan: str, approval_id: str) -> bool:
        """Put a plan to the person at the terminal, and record the answer."""
        agrees = self.agrees or confirm_plan(plan)
        store = ApprovalStore(self.workspace.settings.home)
        answer = store.approve if agrees else store.decline
        await anyio.to_thread.run_sync(partial(answer, approval_id, Door.TERMINAL))
        return agrees

    async def _ask(self, tool: str, arguments: Mapping[str, JsonValue]) -> dict[str, Any] | None:
        """Call a tool of the daemon; None if it refused the call, or ended."""
        try:
            return await anyio.to_thread.run_sync(
                self.tools.call, tool, arguments, self._hear, abandon_on_cancel=True
            )
        except (OSError, ValueError):
            return None
        except anyio.get_cancelled_exc_class():
            self.tools.cancel()
            raise

    def _hear(self, progress: Mapping[str, Any]) -> None:
        done, total, message = (progress.get(key) for key in ("progress", "total", "message"))
        if isinstance(done, int | float):
            number = total if isinstance(total, int | float) else None
            text = message if isinstance(message, str) else None
            anyio.from_thread.run(self._report, done, number, text)

    async def _report(self, done: float, total: float | None, message: str | None) -> None:
        await self.workspace.report(done, total, message)


def _outcome_in(data: dict[str, Any]) -> Outcome:
    """Return what an answer of the daemon means."""
    if data.get("status") == "needs_approval":
        return Outcome("needs_approval", data)
    if data.get("status") == "declined":
        return Outcome("declined", data)
    if {"status", "job", "capability", "state"} <= data.keys():
        report = JobReport.model_validate({k: v for k, v in data.items() if k != "status"})
        return job_outcome(report)
    return Outcome("done", data)
