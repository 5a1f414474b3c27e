"""Hand a call to the running daemon, which has imported all that it needs.

The command itself imports hardly anything then: no pydantic, no asyncio, no room of a capability.
Handed over is long work, and what only reads a project or the jobs. Whatever the daemon refuses is
called in this process instead, so that each refusal is said in the words of the command line.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from kiln_mcp.doors.cli.daemon_door import DaemonDoor, DaemonTools
from kiln_mcp.doors.cli.job_notes import PAUSE_WITHIN_S, begin_note, pause_note
from kiln_mcp.doors.interrupts import Interrupts, ask_with_interrupts
from kiln_mcp.workbench.answer_text import for_terminal

if TYPE_CHECKING:
    from pydantic import JsonValue

_OWN_SETTINGS: Final = frozenset({"KILN_MCP_ITEM_SECONDS", "KILN_MCP_ITEM_MB", "KILN_MCP_GGUF"})
"""Settings of a process that are not sent with a call; with one of them, nothing is handed over."""
_DATABASE: Final = "KILN_MCP_DATABASE_URL"
"""Names the workers' database; what they run is not handed to the daemon."""
_OF_HOME: Final = frozenset({"check_job"})
"""What reads the home alone, and so is the same in the daemon and in the command."""
LONG_WORK: Final = frozenset({"wait_s", "limit_usd"})
"""The options that long work has, and nothing else has both."""
_ANSWER_WITHIN_S: Final = 10.0
"""How long after Ctrl-C the daemon may take to say whether it has begun a job."""
_LONGEST_LOOK_S: Final = 30.0
UNFINISHED: Final = frozenset({"waiting", "running", "cancelling", "pausing"})
"""The states of a job that is still worked on."""
_JOB_KEYS: Final = frozenset({"status", "job", "capability", "state"})
_PATH: Final = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]")


class Answer(NamedTuple):
    """The outcome of a call that did not fail.

    Attributes:
        status: As `Outcome.status`.
        data: The answer to the person.
    """

    status: str
    data: "Mapping[str, JsonValue]"


def may_be_handed_over(listing: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Return whether the daemon can make a call for this command.

    Args:
        listing: The capability as a tool of the server.
        environment: The command's.
    """
    if environment.get(_DATABASE) or _OWN_SETTINGS.intersection(environment):
        return False
    properties = listing["inputSchema"]["properties"]
    is_of_home = "project" in properties or listing["name"] in _OF_HOME
    reads = listing["annotations"]["readOnlyHint"] and is_of_home
    return bool(reads or properties.keys() >= LONG_WORK)


def project_reference(text: str) -> str | None:
    """Return a reference to a project that means the same in the daemon; None if none does.

    The daemon runs in the home, so a path is made absolute. What may be a name or a folder below
    this process's is left to this process.
    """
    if "\0" in text or not text.strip():
        return None
    if not _PATH.match(text):
        return None if os.path.lexists(text) else text
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:  # `~` names a user that does not exist
        return None


def longest_wait(arguments: "Mapping[str, JsonValue]") -> float | None:
    """Return how long the person wants to wait for a job; None for as long as it takes."""
    wait_s = arguments.get("wait_s")
    return float(wait_s) if isinstance(wait_s, int | float) else None


def confirm_plan(plan: str) -> bool:
    """Return whether the person at the terminal agrees to a plan."""
    question = f"{for_terminal(plan)} Go ahead?"
    return ask_with_interrupts(partial(click.confirm, question, err=True))


def show_progress(done: float, total: float | None, message: str | None) -> None:
    """Show progress on one line of the terminal, if there is one."""
    if sys.stderr.isatty():
        share = f"{done:g}/{total:g} " if total else f"{done:g} " if done >= 1 else ""
        click.echo(f"\r\x1b[K{share}{for_terminal(message or '')}", err=True, nl=False)
        if total and done >= total:
            click.echo("", err=True)


def clear_progress() -> None:
    """Clear the line of progress, so that an answer does not begin at its end."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)


@dataclass(slots=True)
class Handover:
    """A call that the daemon makes.

    Attributes:
        daemon: It.
        tools: Its tools.
        agrees: Whether the person at the terminal agrees to the plan by an option of the command;
            None if nobody is there.
        interrupts: The presses of Ctrl-C. A call that may begin a job has time to say so.
        show: Shows progress.
    """

    daemon: DaemonDoor
    tools: DaemonTools
    agrees: bool | None
    interrupts: Interrupts = field(default_factory=Interrupts)
    show: Callable[[float, float | None, str | None], None] = show_progress
    _has_announced: bool = False
    _order_times: tuple[int, ...] = ()

    def call(
        self, tool: str, arguments: "Mapping[str, JsonValue]", *, is_long: bool
    ) -> Answer | None:
        """Make a call to its end; None if this process must make it: the daemon refused or ended.

        Args:
            tool: The tool.
            arguments: As they were typed; `wait_s` is the longest wait for a job.
            is_long: Whether it may become a job.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; its job is paused.
            WorkbenchError: The job failed.
        """
        values: dict[str, JsonValue] = {**arguments, "wait_s": 0} if is_long else {**arguments}
        if isinstance(project := values.get("project"), str):
            values["project"] = reference = project_reference(project)
            if reference is None:
                return None
        self._order_times = _times_of(self.daemon.home / "orders.sqlite")
        while True:
            data = self._ask(tool, values, _ANSWER_WITHIN_S if is_long else 0.0)
            if data is None:
                return None
            if not is_long:
                return Answer("done", data)
            if data.get("status") != "needs_approval" or self.agrees is None:
                break
            plan, approval_id = str(data.get("plan")), str(data.get("approval_id"))
            if not self._approve(plan, approval_id):
                return _decline(plan)
            values["approval_id"] = approval_id
        if data.keys() >= _JOB_KEYS:
            return self._follow(data, longest_wait(arguments))
        status = str(data.get("status"))
        return Answer(status if status in {"needs_approval", "declined"} else "done", data)

    def _follow(self, data: Mapping[str, Any], longest_s: float | None) -> Answer:
        """Wait for a job and return its outcome; pause it at Ctrl-C."""
        job = str(data["job"])
        click.echo(f"kiln-mcp: {begin_note(job)}", err=True)
        until = None if longest_s is None else time.monotonic() + longest_s
        try:
            while data["state"] in UNFINISHED:
                wait_s = _LONGEST_LOOK_S if until is None else max(0.0, until - time.monotonic())
                look = {"job": job, "seconds": min(wait_s, _LONGEST_LOOK_S)}
                report = self._ask("check_job", look)
                if report is None:
                    return self._follow_here(job, until)
                data = report
                if until is not None and time.monotonic() >= until:
                    break
        except KeyboardInterrupt:
            self._pause(job)
            raise
        if data["state"] == "done":
            return Answer("done", data.get("result") or {})
        return _answer_of(data)

    def _follow_here(self, job: str, until: float | None) -> Answer:
        """Wait in this process: the daemon ended, and the job continues in another one."""
        from kiln_mcp.doors.cli.local_call import follow_job

        return follow_job(job, until, self.daemon, self.interrupts)

    def _pause(self, job: str) -> None:
        """Pause the job, in bounded time, and say how it continues."""
        tools = self.daemon.running_tools()  # those of the call are cancelled

        def pause() -> bool:
            with suppress(OSError, ValueError):
                arguments = {"job": job, "pause": True}
                return tools is not None and tools.call("stop_job", arguments, _ignore) is not None
            return False

        is_paused = None
        with suppress(KeyboardInterrupt):
            is_paused = self.interrupts.wait_for(pause, PAUSE_WITHIN_S)
        if is_paused is False:
            from kiln_mcp.doors.cli.local_call import pause_job

            pause_job(job, self.interrupts)
        else:
            click.echo(f"kiln-mcp: {pause_note(job, in_time=is_paused is not None)}", err=True)

    def _approve(self, plan: str, approval_id: str) -> bool:
        """Put a plan to the person at the terminal, and record the answer."""
        from kiln_mcp.approvals.approval import Door
        from kiln_mcp.approvals.approval_store import ApprovalStore

        agrees = self.agrees or confirm_plan(plan)
        store = ApprovalStore(self.daemon.home)
        answer = store.approve if agrees else store.decline
        answer(approval_id, Door.TERMINAL)
        return agrees

    def _ask(
        self, tool: str, arguments: Mapping[str, object], grace_s: float = 0.0
    ) -> dict[str, Any] | None:
        """Call a tool of the daemon; None if it refused the call, or ended.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and no answer came in the time of grace.
        """
        call = partial(self.tools.call, tool, arguments, self._hear)
        try:
            return self.interrupts.wait_for(call, grace_s, self._announce_orders)
        except (OSError, ValueError):
            return None
        except KeyboardInterrupt:
            self.tools.cancel()
            raise

    def _hear(self, progress: Mapping[str, Any]) -> None:
        done, total, message = (progress.get(key) for key in ("progress", "total", "message"))
        if isinstance(done, int | float):
            number = total if isinstance(total, int | float) else None
            self.show(done, number, message if isinstance(message, str) else None)

    def _announce_orders(self) -> None:
        """Print once where to answer, as soon as a question to the host waits.

        The look imports much. A process that waits for an answer writes to the file all the time.
        """
        file = self.daemon.home / "orders.sqlite"
        times = _times_of(file)
        if self._has_announced or times == self._order_times:
            return
        self._order_times = times
        from kiln_mcp.doors.cli.order_notice import announce_orders

        self._has_announced = announce_orders(file)


def _times_of(database: Path) -> tuple[int, ...]:
    """Return when a database was last written, with its write-ahead log."""
    times: list[int] = []
    for file in (str(database), f"{database}-wal"):
        with suppress(OSError):
            times.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - of two names
    return tuple(times)


def _ignore(_progress: Mapping[str, Any]) -> None:
    """Show no progress of a pause."""


def _decline(plan: str) -> Answer:
    from kiln_mcp.operations.job_control.capability_calls import decline_outcome

    outcome = decline_outcome(plan)
    return Answer(outcome.status, outcome.data)


def _answer_of(data: Mapping[str, Any]) -> Answer:
    """Return what a job means that is not done."""
    from kiln_mcp.operations.job_control.answers import JobReport
    from kiln_mcp.operations.job_control.capability_calls import job_outcome

    report = {key: value for key, value in data.items() if key != "status"}
    outcome = job_outcome(JobReport.model_validate(report))
    return Answer(outcome.status, outcome.data)
