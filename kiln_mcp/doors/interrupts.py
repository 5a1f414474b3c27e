"""Presses of Ctrl-C: each ends its command, at any moment.

Python drops a `KeyboardInterrupt` in some callbacks, such as those of an import's lock. asyncio
cancels the main task once, and a task group that ends just then takes that for its own. So a press
before the work ends the process at once. A press during the work cancels scopes, which cancel at
every wait until the work has ended. Without asyncio, it ends a wait for work in a thread.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import asyncio

    from anyio import CancelScope

T = TypeVar("T")

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
STOPPED: Final = "Stopped. Finished work is saved; run the command again to continue."
_STOPPED_AT_ONCE: Final = "Stopped at once. A job that has begun continues: kiln-mcp check-job."
_ONE_PRESS_S: Final = 1.0
"""Signals within this time are one press: a shell and a wrapper may both send it."""


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _end_process(sentence: str) -> None:
    with suppress(OSError):
        os.write(2, f"kiln-mcp: {sentence}\n".encode())
    os._exit(INTERRUPTED)


def _end_at_start(_number: int, _frame: FrameType | None) -> None:
    _end_process(STOPPED)


def end_at_interrupt() -> None:
    """End the process at a press of Ctrl-C, until its work begins; nothing is lost before that."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_start)


def raise_interrupts() -> None:
    """Let a press raise KeyboardInterrupt again: the work that begins now cleans up behind it."""
    if signal.getsignal(signal.SIGINT) is _end_at_start:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait() -> None:
    """Do nothing else while work lasts."""


class Interrupts:
    """The presses of Ctrl-C during the work of one command.

    Args:
        pulse_s: How often a wait for blocking work looks around.
    """

    def __init__(self, pulse_s: float = 1.0) -> None:
        self._pulse_s = pulse_s
        self._pressed_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scopes: dict[CancelScope, float] = {}
        self._wake_ups: SimpleQueue[None] = SimpleQueue()  # its `put` is safe in a signal handler

    @contextmanager
    def cancel_scopes(self) -> Generator[None]:
        """Cancel the scopes at a press during the body; leave ignored signals ignored."""
        previous = signal.getsignal(signal.SIGINT)
        may_be_ours = previous in {signal.default_int_handler, _end_at_start}
        if not may_be_ours or not _is_main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def scope(self, grace_s: float = 0.0) -> Generator["CancelScope"]:
        """Cancel the body so many seconds after a press, and shield it until then."""
        import asyncio

        import anyio

        self._loop = asyncio.get_running_loop()
        with anyio.CancelScope(shield=grace_s > 0) as scope:
            self._scopes[scope] = grace_s
            if self._pressed_at is not None:
                self._cancel()
            try:
                yield scope
            finally:
                del self._scopes[scope]

    def wait_for(
        self, work: Callable[[], T], grace_s: float = 0.0, look_around: Callable[[], None] = _wait
    ) -> T:
        """Do blocking work in a thread, and wait for its end.

        Args:
            work: Left to itself if a press ends the wait.
            grace_s: How long after a press the work may still end.
            look_around: Called now and then while it lasts.

        Raises:
            KeyboardInterrupt: A press ended the wait.
        """
        outcome: Future[T] = Future()
        threading.Thread(target=self._run, args=(work, outcome), daemon=True).start()
        until: float | None = None
        while not outcome.done():
            now_s = time.monotonic()
            if self._pressed_at is not None and until is None:
                until = now_s + grace_s
            if until is not None and now_s >= until:
                raise KeyboardInterrupt
            try:
                rest_s = self._pulse_s if until is None else until - now_s
                self._wake_ups.get(timeout=min(self._pulse_s, rest_s))
            except Empty:
                look_around()
        return outcome.result()

    def _run(self, work: Callable[[], T], outcome: "Future[T]") -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
            outcome.set_exception(error)
        self._wake_ups.put(None)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._pressed_at is None:
            self._pressed_at = now_s
        elif now_s - self._pressed_at > _ONE_PRESS_S:
            _end_process(_STOPPED_AT_ONCE)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended: so has the work
                self._loop.call_soon_threadsafe(self._cancel)
        self._wake_ups.put(None)

    def _cancel(self) -> None:
        import anyio

        for scope, grace_s in self._scopes.items():
            if grace_s:
                scope.deadline = min(scope.deadline, anyio.current_time() + grace_s)
            else:
                scope.cancel()


def ask_with_interrupts(ask: Callable[[], bool]) -> bool:
    """Ask the person a question; a press of Ctrl-C raises KeyboardInterrupt in the prompt."""
    if not _is_main_thread():
        return ask()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return ask()
    finally:
        signal.signal(signal.SIGINT, previous)


def end_in_time(code: int) -> None:
    """End the process soon after a press, whatever its threads wait for."""
    if code != INTERRUPTED:
        return
    until = time.monotonic() + _ONE_PRESS_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
