"""The pool of worker processes: as many as there are cores, started when first needed.

Neither `concurrent.futures` nor `loky` can end one item, and they and `pebble` and
`anyio.to_process` unpickle what a worker sends. Here a message is JSON, so a worker that foreign
code took over can only answer wrongly.
"""

import atexit
import os
import threading
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, cancel_shielded_checkpoint
from pydantic import JsonValue

from storage.isolation.bubblewrap import bubblewrap_prefix
from storage.isolation.confinement import Confinement
from storage.isolation.item_limits import WorkerLimits
from storage.isolation.outcomes import Failed, Outcome
from storage.isolation.process import WorkerProcess
from storage.isolation.scratch import FolderWatch, scratch_folder
from storage.isolation.watchdog import Watchdog

FOLDER_BYTES: Final = 64 * 2**20
"""What the folder of a task with a worker of its own may hold."""
_MOST_WAITING: Final = 64
_Key = tuple[int, str, str, float]
_batches: Final = RunVar[dict[_Key, list["_Entry"]]]("isolation_gathered")
_waiting: Final = RunVar[anyio.CapacityLimiter]("isolation_waiting")


@dataclass(slots=True)
class _Entry:
    """An item that may run together with others."""

    arguments: Mapping[str, JsonValue]
    outcome: Outcome | None = None
    finished: anyio.Event = field(default_factory=anyio.Event)


class WorkerPool:
    """Runs tasks in worker processes. Thread-safe; `close` ends the processes.

    Attributes:
        limits: Of an item. New workers get new limits.
    """

    def __init__(self, limits: WorkerLimits | None = None, size: int | None = None) -> None:
        """Set up without starting a process.

        Args:
            limits: Of an item; None for those of the environment.
            size: The most workers; None for one a core, two at least.
        """
        self.limits = limits or WorkerLimits.from_environment()
        self._size = size or max(2, os.cpu_count() or 2)
        self._changed = threading.Condition()
        self._idle: list[WorkerProcess] = []
        self._busy: Counter[str] = Counter()
        self._watchdog = Watchdog()
        self._sweep: threading.Timer | None = None

    async def ask(
        self, task: str, logic: str, arguments: Mapping[str, JsonValue], seconds: float = 0.0
    ) -> Outcome:
        """Run a task without blocking the event loop; see `run`.

        Calls of one logic that come together share a thread and a worker.
        """
        entry = _Entry(arguments)
        batch = _current_batches().setdefault((id(self), task, logic, seconds), [])
        batch.append(entry)
        if len(batch) == 1:
            await cancel_shielded_checkpoint()  # who comes in the same turn of the loop joins
            del _current_batches()[id(self), task, logic, seconds]
            if len(batch) > 1:
                await self._run_batch(task, logic, batch, seconds)
        else:
            await entry.finished.wait()
        if entry.outcome is not None:
            return entry.outcome
        work = partial(self.run, task, logic, arguments, seconds)
        return await anyio.to_thread.run_sync(work, limiter=_limiter(), abandon_on_cancel=True)

    async def ask_some(
        self, task: str, logic: str, items: Sequence[Mapping[str, JsonValue]]
    ) -> list[Outcome]:
        """Run a task for the first of some items without blocking the event loop; see `run_some`.

        Returns:
            An outcome for each item that was run.
        """
        work = partial(self.run_some, task, logic, items)
        return await anyio.to_thread.run_sync(work, limiter=_limiter(), abandon_on_cancel=True)

    async def _run_batch(
        self, task: str, logic: str, entries: Sequence["_Entry"], seconds: float
    ) -> None:
        """Set the outcomes of some entries; those that are left without one run by themselves."""
        items = [entry.arguments for entry in entries]
        work = partial(self.run_some, task, logic, items, seconds)
        try:
            with anyio.CancelScope(shield=True):  # the others wait for it
                outcomes = await anyio.to_thread.run_sync(work, limiter=_limiter())
                for entry, outcome in zip(entries, outcomes, strict=False):
                    entry.outcome = outcome
        finally:
            for entry in entries:
                entry.finished.set()

    def run_some(
        self, task: str, logic: str, items: Sequence[Mapping[str, JsonValue]], seconds: float = 0.0
    ) -> list[Outcome]:
        """Run a task for the first of some items in one worker.

        Stops after a breach, or when half a second is over, so that no item waits long for others.
        """
        with self._turn(logic):
            worker = self._idle_worker() or WorkerProcess(self.limits, self._watchdog)
            try:
                return worker.ask_some(task, items, seconds or self.limits.seconds)
            finally:
                self._give_back(worker)

    def run(
        self, task: str, logic: str, arguments: Mapping[str, JsonValue], seconds: float = 0.0
    ) -> Outcome:
        """Run a task in a worker and block until it has ended or its time is over.

        Args:
            task: Its name in `storage.isolation.worker_tasks`.
            logic: The pattern, expression or schema. One logic never takes all workers, so that
                a slow one does not hold up the others.
            arguments: What the task takes.
            seconds: Its limit of time; 0 for the usual one.
        """
        with self._turn(logic):
            worker = self._idle_worker() or WorkerProcess(self.limits, self._watchdog)
            try:
                return worker.ask(task, arguments, seconds or self.limits.seconds)
            finally:
                self._give_back(worker)

    def run_alone(
        self, task: str, logic: str, arguments: Mapping[str, JsonValue], seconds: float
    ) -> Outcome:
        """Run a task in a worker of its own, which ends with it: code may leave things behind.

        The task also gets `folder`, an empty one. It may hold FOLDER_BYTES.
        """
        with self._turn(logic), scratch_folder() as folder:
            prefix = bubblewrap_prefix(Confinement(writable=(str(folder),)))
            worker = WorkerProcess(self.limits, self._watchdog, prefix)
            try:
                with FolderWatch(folder, FOLDER_BYTES, worker.kill) as watch:
                    outcome = worker.ask(task, {**arguments, "folder": str(folder)}, seconds)
            finally:
                worker.close()
        if watch.is_too_large:
            return Failed(f"wrote more than {FOLDER_BYTES // 2**20} MB of files", "space")
        return outcome

    async def ask_alone(
        self, task: str, logic: str, arguments: Mapping[str, JsonValue], seconds: float
    ) -> Outcome:
        """Run a task in a worker of its own without blocking the event loop."""
        work = partial(self.run_alone, task, logic, arguments, seconds)
        return await anyio.to_thread.run_sync(work, limiter=_limiter(), abandon_on_cancel=True)

    @contextmanager
    def _turn(self, logic: str) -> Generator[None]:
        share = max(1, self._size - 1)
        with self._changed:
            while self._busy.total() >= self._size or self._busy[logic] >= share:
                self._changed.wait()
            self._busy[logic] += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy[logic] -= 1
                self._busy += Counter()  # forget what is at nothing
                self._changed.notify_all()

    def _idle_worker(self) -> WorkerProcess | None:
        while True:
            with self._changed:
                worker = self._idle.pop() if self._idle else None
            if worker is None or worker.is_alive:
                return worker
            worker.close()

    def _give_back(self, worker: WorkerProcess) -> None:
        if not worker.is_alive or worker.answer_count >= self.limits.tasks:
            worker.close()
            return
        worker.idle_since = time.monotonic()
        with self._changed:
            self._idle.append(worker)
            if self._sweep is None:
                self._start_sweep()

    def _start_sweep(self) -> None:
        self._sweep = threading.Timer(self.limits.idle_seconds, self._end_idle)
        self._sweep.daemon = True
        self._sweep.start()

    def _end_idle(self) -> None:
        oldest = time.monotonic() - self.limits.idle_seconds
        with self._changed:
            old = [worker for worker in self._idle if worker.idle_since <= oldest]
            self._idle = [worker for worker in self._idle if worker.idle_since > oldest]
            self._sweep = None
            if self._idle:
                self._start_sweep()
        for worker in old:
            worker.close()

    @property
    def idle(self) -> int:
        """How many workers wait for a task."""
        return len(self._idle)

    def close(self) -> None:
        """End the workers that wait for a task."""
        with self._changed:
            workers, self._idle = self._idle, []
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
        for worker in workers:
            worker.close()


def _current_batches() -> dict[_Key, list[_Entry]]:
    """Return the batches that callers of this event loop gather in this turn."""
    table = _batches.get(None)
    if table is None:
        table = dict[_Key, list[_Entry]]()
        _batches.set(table)
    return table


def _limiter() -> anyio.CapacityLimiter:
    """Return this event loop's own threads, so that hostile items take none of the others."""
    limiter = _waiting.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(_MOST_WAITING)
        _waiting.set(limiter)
    return limiter


@lru_cache(maxsize=1)
def shared_pool() -> WorkerPool:
    """Return the pool of this process, with the limits of the environment."""
    pool = WorkerPool()
    atexit.register(pool.close)
    return pool
