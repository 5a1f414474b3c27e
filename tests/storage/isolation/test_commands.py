"""Commands with the rights of the person: limits, and that nothing of them is left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from storage.isolation.commands import (
    Command,
    CommandLimits,
    CommandResult,
    leash_command,
    run_command,
)
from storage.isolation.outcomes import Failed

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


LIMITS = CommandLimits(seconds=60, megabytes=None, processes=None)


def command_of(*words: str, folder: Path, text: bytes = b"") -> Command:
    return Command(words, folder, text, ENVIRONMENT, LIMITS)


async def run(*words: str, folder: Path, text: bytes = b"") -> CommandResult:
    result = await run_command(command_of(*words, folder=folder, text=text))
    assert isinstance(result, CommandResult)
    return result


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells: the end of a foreign process."""
    with anyio.fail_after(60):
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
    result = await run("cat", folder=tmp_path, text=b"x" * 500_000)
    assert result.output == b"x" * 500_000


async def test_a_program_that_does_not_read_its_input_is_no_failure(tmp_path: Path) -> None:
    assert (await run("true", folder=tmp_path, text=b"x" * 500_000)).exit_code == 0


async def test_the_exit_code_and_the_end_of_the_errors_are_kept(tmp_path: Path) -> None:
    end = await run("sh", "-c", "echo out; echo err >&2; exit 7", folder=tmp_path)
    assert (end.output, end.errors, end.exit_code) == (b"out\n", b"err\n", 7)


async def test_a_signal_that_ends_a_program_is_its_exit_code(tmp_path: Path) -> None:
    end = await run("sh", "-c", "kill -9 $$", folder=tmp_path)
    assert end.exit_code == -signal.SIGKILL


async def test_what_a_program_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    end = await run("sh", "-c", "sleep 60 & echo $!", folder=tmp_path)
    assert end.exit_code == 0
    await wait_for_end(int(end.output))


async def test_the_whole_group_is_killed_at_the_end_of_its_time(tmp_path: Path) -> None:
    command = command_of("sh", "-c", "sleep 60 & echo $! > child; wait", folder=tmp_path)
    for seconds in (0.5, 5, 60):  # until the time is enough for its child to begin
        result = await run_command(replace(command, limits=replace(LIMITS, seconds=seconds)))
        assert result == Failed(f"took longer than {seconds:g} s", "time")
        if content(tmp_path / "child"):
            break
    await wait_for_end(await wait_for_number(tmp_path / "child"))


async def test_a_program_that_writes_too_much_is_killed(tmp_path: Path) -> None:
    command = command_of("yes", folder=tmp_path)
    result = await run_command(replace(command, limits=replace(LIMITS, output_bytes=10_000)))
    assert result == Failed("wrote more than 10000 bytes", "output")


async def test_a_cancelled_program_is_killed(tmp_path: Path) -> None:
    script, child = "sleep 60 & echo $! > child; wait", 0
    async with anyio.create_task_group() as group:
        group.start_soon(run_command, command_of("sh", "-c", script, folder=tmp_path))
        child = await wait_for_number(tmp_path / "child")
        group.cancel_scope.cancel()
    await wait_for_end(child)


@pytest.mark.parametrize("way", ["command", "leash"])
async def test_no_program_outlives_a_killed_parent(tmp_path: Path, way: str) -> None:
    script = f"sleep 60 & echo $! > {tmp_path / 'child'}; wait"
    if way == "command":
        code = (
            "import anyio; from pathlib import Path; "
            "from storage.isolation.commands import Command, run_command; "
            f"anyio.run(run_command, Command(('sh', '-c', {script!r}), Path('/'), "
            f"environment={ENVIRONMENT!r}))"
        )
    else:
        code = (
            "import subprocess; from storage.isolation.commands import leash_command; "
            f"command = leash_command(('sh', '-c', {script!r})); "
            "subprocess.Popen(command, start_new_session=True).wait()"
        )
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3]
    )
    try:
        child = await wait_for_number(tmp_path / "child")
        assert is_alive(child)
    finally:
        parent.kill()
        parent.wait()
    await wait_for_end(child)


async def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    result = await run_command(command_of("no-such-program", folder=tmp_path))
    assert result == Failed("cannot be started: there is no program 'no-such-program'")


async def test_a_program_of_the_commands_folder_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "say").write_text("#!/bin/sh\necho said", encoding="utf-8")
    (tmp_path / "say").chmod(0o700)
    assert (await run("./say", folder=tmp_path)).output == b"said\n"


def test_a_leash_hands_on_the_exit_code() -> None:
    started = time.monotonic()
    assert subprocess.run(leash_command(("sh", "-c", "exit 5")), check=False).returncode == 5
    assert time.monotonic() - started < 60
