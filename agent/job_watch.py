"""Jobs that go on while the talk goes on: each is followed until it is at rest."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup
from pydantic import JsonValue

from agent.events import Event, JobChanged
from agent.tool_server import ToolResult, ToolServer

CHECK: Final = "check_job"
ANSWER: Final = "answer_work_orders"
_WAIT_NOTE: Final = f"It waits for answers to its work orders; {ANSWER} gives them."
UNDER_WAY: Final = frozenset({"waiting", "running", "cancelling", "pausing"})
WAIT_S: Final = 25.0
"""How long one request waits for a job to end."""
_LONGEST_REPORT: Final = 6000
"""Characters of a job's result that the model is told."""


@dataclass(slots=True)
class JobWatch:
    """Follows the jobs that the calls of one conversation started.

    Attributes:
        server: The workbench.
        emit: Shows an event.
        running: The last known state of each job under way.
        reports: What the jobs that ended say, until the model is told.
    """

    server: ToolServer
    emit: Callable[[Event], None]
    running: dict[str, JobChanged] = field(default_factory=dict[str, JobChanged])
    reports: dict[str, str] = field(default_factory=dict[str, str])
    _reminders: set[str] = field(default_factory=set[str])
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def take(self, result: ToolResult, tasks: TaskGroup) -> None:
        """Look for a job in the result of a call; follow it, or note that the model knows its end.

        Args:
            result: The result.
            tasks: Where jobs are followed.
        """
        report = result.structured
        if not isinstance(report, dict) or not isinstance(report.get("job"), str):
            return
        job, state = str(report["job"]), _state_of(report)
        if state not in UNDER_WAY:
            self.reports.pop(job, None)
        elif job not in self.running and CHECK in self.server.tools:
            self._reminders.discard(job)
            self._note(job, _change(job, report))
            tasks.start_soon(self._follow, job)

    def take_reports(self) -> str:
        """Return what ended since the last time, for the model; empty if nothing did."""
        reports, self.reports = self.reports, {}
        return "\n\n".join(reports.values())

    async def wait(self) -> bool:
        """Wait until a job has ended that the model was not told of; False if none is under way."""
        while not self.reports:
            if not self.running:
                return False
            await self._changed.wait()
        return True

    async def _follow(self, job: str) -> None:
        report: Mapping[str, JsonValue] = {}
        while _state_of(report) in UNDER_WAY or not report:

            async def show(progress: float, total: float | None, message: str | None) -> None:
                self._note(job, JobChanged(job, "running", progress, total, message or ""))

            answer = await self.server.call(CHECK, {"job": job, "seconds": WAIT_S}, show)
            if answer.failed or not isinstance(answer.structured, dict):
                report = {"state": "failed", "error": answer.text}
                break
            report = answer.structured
            if _state_of(report) in UNDER_WAY and _waits_for_answers(report):
                if job in self._reminders:
                    self._leave(job, report)
                    return
                self._reminders.add(job)
                self._report(job, report)
        self._end(job, report)

    def _note(self, job: str, change: JobChanged) -> None:
        if self.running.get(job) != change:
            self.running[job] = change
            self.emit(change)

    def _end(self, job: str, report: Mapping[str, JsonValue]) -> None:
        self.running.pop(job, None)
        self.emit(_change(job, report))
        self._report(job, report)

    def _leave(self, job: str, report: Mapping[str, JsonValue]) -> None:
        """Follow a job no longer that waits for a model which was told and does not answer."""
        self.running.pop(job, None)
        self.emit(replace(_change(job, report), state="waiting", note=_WAIT_NOTE))
        self._announce()

    def _report(self, job: str, report: Mapping[str, JsonValue]) -> None:
        self.reports[job] = json.dumps(report, ensure_ascii=False)[:_LONGEST_REPORT]
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _waits_for_answers(report: Mapping[str, JsonValue]) -> bool:
    """Return whether a job waits until the connected assistant answers its work orders."""
    steps = report.get("next")
    entries = steps if isinstance(steps, list) else []
    return any(isinstance(step, dict) and step.get("tool") == ANSWER for step in entries)


def _state_of(report: Mapping[str, JsonValue]) -> str:
    """Return the state of a job: a job under way says it as its status."""
    state = report.get("state") or report.get("status") or ""
    return str(state)


def _change(job: str, report: Mapping[str, JsonValue]) -> JobChanged:
    done, total = report.get("done"), report.get("total")
    return JobChanged(
        job,
        _state_of(report),
        float(done) if isinstance(done, int | float) else 0.0,
        float(total) if isinstance(total, int | float) else None,
        str(report.get("error") or report.get("message") or ""),
    )
