"""Programs of a person's own: their limits, and that nothing of them is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from storage.isolation.program_process import LEASH, ProgramCall, leash_command, run_program

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def call(*command: str, folder: Path, **limits: float) -> ProgramCall:
    return ProgramCall(command, folder, ENVIRONMENT, **limits)  # pyright: ignore[reportArgumentType]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells: the end of a foreign process."""
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def content(file: Path) -> str:
    """Return what a file holds; "" if it is not there."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that ended and nobody waited for does not."""
    state = content(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] not in {"Z", "X"}


async def wait_for_number(file: Path) -> int:
    await until(lambda: bool(content(file)))
    return int(content(file))


async def wait_for_end(process: int) -> None:
    await until(lambda: not is_alive(process))


async def test_input_and_output_may_be_larger_than_a_pipe(tmp_path: Path) -> None:
    program = ProgramCall(("cat",), tmp_path, ENVIRONMENT, input=b"x" * 500_000)
    end = await run_program(program)
    assert end.output == b"x" * 500_000


async def test_a_program_that_does_not_read_its_input_is_no_failure(tmp_path: Path) -> None:
    program = ProgramCall(("true",), tmp_path, ENVIRONMENT, input=b"x" * 500_000)
    assert (await run_program(program)).exit_code == 0


async def test_the_exit_code_and_the_end_of_the_errors_are_kept(tmp_path: Path) -> None:
    end = await run_program(call("sh", "-c", "echo out; echo err >&2; exit 7", folder=tmp_path))
    assert (end.output, end.errors, end.exit_code) == (b"out\n", b"err\n", 7)


async def test_a_signal_that_ends_a_program_is_its_exit_code(tmp_path: Path) -> None:
    end = await run_program(call("sh", "-c", "kill -9 $$", folder=tmp_path))
    assert end.exit_code == 128 + signal.SIGKILL


async def test_what_a_program_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    end = await run_program(call("sh", "-c", "sleep 60 & echo $!", folder=tmp_path))
    assert end.exit_code == 0
    await wait_for_end(int(end.output))


async def test_the_whole_group_is_killed_at_the_end_of_its_time(tmp_path: Path) -> None:
    end = await run_program(
        call("sh", "-c", "sleep 60 & echo $!; wait", folder=tmp_path, seconds=0.2)
    )
    assert end.breach == "time"
    await wait_for_end(int(end.output))


async def test_a_program_that_writes_too_much_is_killed(tmp_path: Path) -> None:
    end = await run_program(call("yes", folder=tmp_path, largest_output=10_000))
    assert end.breach == "output"


async def test_a_cancelled_program_is_killed(tmp_path: Path) -> None:
    script, child = "sleep 60 & echo $! > child; wait", 0
    async with anyio.create_task_group() as group:
        group.start_soon(run_program, call("sh", "-c", script, folder=tmp_path))
        child = await wait_for_number(tmp_path / "child")
        group.cancel_scope.cancel()
    await wait_for_end(child)


@pytest.mark.parametrize("way", ["socket", "parent"])
async def test_no_program_outlives_a_killed_parent(tmp_path: Path, way: str) -> None:
    script = f"sleep 60 & echo $! > {tmp_path / 'child'}; wait"
    if way == "socket":
        code = (
            "import anyio; from pathlib import Path; "
            "from storage.isolation.program_process import ProgramCall, run_program; "
            f"anyio.run(run_program, ProgramCall(('sh', '-c', {script!r}), Path('/'), "
            f"{ENVIRONMENT!r}))"
        )
    else:
        code = (
            "import subprocess; from storage.isolation.program_process import leash_command; "
            f"command = leash_command(('sh', '-c', {script!r})); "
            "subprocess.Popen(command, start_new_session=True).wait()"
        )
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code], cwd=Path(LEASH).parents[2]
    )
    try:
        child = await wait_for_number(tmp_path / "child")
        assert is_alive(child)
    finally:
        parent.kill()
        parent.wait()
    await wait_for_end(child)


async def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    end = await run_program(call("no-such-program", folder=tmp_path))
    assert end.exit_code == 127
    assert b"No such file" in end.errors


def test_a_leash_hands_on_the_exit_code() -> None:
    started = time.monotonic()
    assert subprocess.run(leash_command(("sh", "-c", "exit 5")), check=False).returncode == 5
    assert time.monotonic() - started < 10
