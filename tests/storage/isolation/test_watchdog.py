"""A process is ended when its time is over, but not for want of a processor."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.isolation.watchdog import Watchdog

SPIN = "print(1, flush=True)\nwhile True: pass"


@contextmanager
def running(code: str, *cores: int) -> Generator[subprocess.Popen[bytes]]:
    """Run code on some cores; it has begun once it said a line."""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        if cores:
            os.sched_setaffinity(process.pid, cores)
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_process_that_waits_for_nothing_is_ended_at_its_limit() -> None:
    watchdog = Watchdog()
    with running("import time\nprint(1, flush=True)\ntime.sleep(99)") as process:
        with watchdog.within(process, 0.2):
            process.wait(timeout=60)
        assert watchdog.has_killed(process)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux alone tells delays")
def test_a_process_gets_the_time_in_which_others_had_its_processor() -> None:
    watchdog, core = Watchdog(), min(os.sched_getaffinity(0))
    with running(SPIN, core), running(SPIN, core), running(SPIN, core) as process:
        began = time.monotonic()
        with watchdog.within(process, 0.5):
            process.wait(timeout=60)
        took = time.monotonic() - began
        assert watchdog.has_killed(process)
    assert 1.0 < took < 30  # a third of a processor gives it half a second in one and a half
