"""The calls of one answer: those that only read run at once, the others in order."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from agent.events import Effect, Event, ToolProgress, ToolStarted
from agent.mcp_tools import Toolbox, arguments_of
from agent.tool_server import STOPPED, ToolResult
from kiln_mcp.llm import ToolCall
from storage.errors import WorkbenchError

MOST_AT_ONCE: Final = 8
"""Calls that run at the same time."""
CANCEL_NOTE: Final = (
    "The person stopped this call. What it had saved by then stays: look before doing it again."
)

Keep = Callable[[ToolCall, ToolResult], Awaitable[None]]
"""Keeps the result of a call."""


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Carries out calls.

    Attributes:
        toolbox: The tools.
        emit: Shows an event.
        keep: Keeps the result of each call as soon as it is there.
    """

    toolbox: Toolbox
    emit: Callable[[Event], None]
    keep: Keep

    async def carry_out(self, calls: Sequence[ToolCall]) -> None:
        """Carry out calls: those of different projects side by side, as long as each names one.

        Within a project, calls run in their order, and neighbours that only read at once. Every
        call gets a result, also after a cancellation: models refuse open calls.
        """
        started, limiter = time.monotonic(), anyio.CapacityLimiter(MOST_AT_ONCE)
        open_calls = dict.fromkeys(range(len(calls)))

        async def run(place: int) -> None:
            async with limiter:
                result = await self._call(calls[place])
            with anyio.CancelScope(shield=True):
                del open_calls[place]
                await self.keep(calls[place], result)

        try:
            async with anyio.create_task_group() as tasks:
                for lane in self._lanes(calls):
                    tasks.start_soon(self._run_lane, lane, calls, run)
        finally:
            with anyio.CancelScope(shield=True):
                result = ToolResult(CANCEL_NOTE, failed=True, refusal=STOPPED)
                for place in list(open_calls):
                    self.emit(result.event(calls[place], time.monotonic() - started))
                    await self.keep(calls[place], result)

    async def _run_lane(
        self,
        lane: Sequence[int],
        calls: Sequence[ToolCall],
        run: Callable[[int], Coroutine[None, None, None]],
    ) -> None:
        for batch in self._batches(lane, calls):
            async with anyio.create_task_group() as tasks:
                for place in batch:
                    tasks.start_soon(run, place)

    def _lanes(self, calls: Sequence[ToolCall]) -> list[list[int]]:
        """Return the places of calls that must keep their order, project by project."""
        projects = [_project_of(call) for call in calls]
        writes = [not self._only_reads(call) for call in calls]
        if any(write and not project for write, project in zip(writes, projects, strict=True)):
            return [list(range(len(calls)))]
        lanes: dict[str, list[int]] = {}
        for place, project in enumerate(projects):
            lanes.setdefault(project, []).append(place)
        return list(lanes.values())

    def _batches(self, lane: Sequence[int], calls: Sequence[ToolCall]) -> Iterator[list[int]]:
        """Yield the calls of a lane that may run at once: neighbours that only read."""
        batch: list[int] = []
        for place in lane:
            if self._only_reads(calls[place]):
                batch.append(place)
                continue
            yield from ([batch] if batch else [])
            yield [place]
            batch = []
        yield from ([batch] if batch else [])

    def _only_reads(self, call: ToolCall) -> bool:
        return self.toolbox.effect(call.name) is Effect.READS

    async def _call(self, call: ToolCall) -> ToolResult:
        self.emit(ToolStarted(call.id, call.name, call.arguments, self.toolbox.effect(call.name)))
        started = time.monotonic()
        try:
            result = await self.toolbox.call(call, partial(self._report, call.id))
        except WorkbenchError as error:
            result = ToolResult(str(error), failed=True)
        seconds = time.monotonic() - started
        self.emit(result.event(call, seconds))
        return result

    async def _report(
        self, call_id: str, progress: float, total: float | None, message: str | None
    ) -> None:
        self.emit(ToolProgress(call_id, progress, total, message or ""))


def _project_of(call: ToolCall) -> str:
    """Return the project that a call names; empty if it names none."""
    try:
        return str(arguments_of(call).get("project") or "")
    except WorkbenchError:
        return ""
