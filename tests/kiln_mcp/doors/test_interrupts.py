"""Presses of Ctrl-C at moments at which Python or asyncio would lose them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest

from kiln_mcp.doors.interrupts import Interrupts, ask_with_interrupts

ROOT = Path(__file__).parents[3]


def press() -> bool:
    os.kill(os.getpid(), signal.SIGINT)
    return True


@pytest.fixture
def interrupts() -> Generator[Interrupts]:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    presses = Interrupts()
    with presses.cancel_scopes():
        yield presses
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize(
    "moment",
    [
        "press()",
        # Python drops what is raised in these.
        "import weakref; thing = set(); weakref.finalize(Thing(), press)",
        "Thing.__del__ = lambda thing: press(); Thing()",
    ],
)
def test_a_press_before_the_work_begins_ends_the_command_with_a_sentence(moment: str) -> None:
    program = (
        "import os, signal, time; from kiln_mcp.doors.interrupts import end_at_interrupt\n"
        "def press(): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        f"class Thing: pass\nend_at_interrupt()\n{moment}\nprint('it goes on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("kiln-mcp: Stopped. Finished work is saved;")


async def test_a_press_cancels_the_work_that_waits(interrupts: Interrupts) -> None:
    with anyio.fail_after(30), interrupts.scope() as scope:
        press()
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_a_press_while_a_task_group_ends_is_not_lost(interrupts: Interrupts) -> None:
    with anyio.fail_after(30), interrupts.scope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
            press()
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_what_may_begin_a_job_has_time_to_say_so(interrupts: Interrupts) -> None:
    jobs = list[str]()
    with anyio.fail_after(30), interrupts.scope() as outer:
        with interrupts.scope(grace_s=5):
            press()
            await anyio.sleep(0.01)
            jobs.append("begun")
        await anyio.sleep(60)
    assert (jobs, outer.cancelled_caught) == (["begun"], True)


async def test_what_says_nothing_in_time_is_cancelled(interrupts: Interrupts) -> None:
    press()
    with anyio.fail_after(30), interrupts.scope(grace_s=0.01) as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_two_signals_of_one_press_are_one(interrupts: Interrupts) -> None:
    with anyio.fail_after(30), interrupts.scope() as scope:
        press()
        press()  # a shell and a wrapper both send it; a second press ends the process
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_a_press_in_a_prompt_ends_the_prompt(interrupts: Interrupts) -> None:
    with interrupts.scope() as scope, pytest.raises(KeyboardInterrupt):
        ask_with_interrupts(press)
    assert not scope.cancel_called


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().cancel_scopes():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_press_ends_a_wait_for_blocking_work(interrupts: Interrupts) -> None:
    release = threading.Event()

    def work() -> bool:
        press()
        return release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        interrupts.wait_for(work)
    release.set()


def test_blocking_work_that_may_begin_a_job_has_time_to_say_so(interrupts: Interrupts) -> None:
    assert interrupts.wait_for(press, grace_s=5)
    with pytest.raises(KeyboardInterrupt):  # the next wait hears of the press at once
        interrupts.wait_for(lambda: threading.Event().wait(30))


def test_an_error_of_blocking_work_reaches_the_one_who_waits(interrupts: Interrupts) -> None:
    with pytest.raises(ZeroDivisionError):
        interrupts.wait_for(lambda: 1 / 0)
