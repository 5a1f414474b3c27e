"""Ctrl-C, pressed at every moment of a command that begins a job in the daemon."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from daemon_bench import BRIDGE, COMMAND, Bench, CountingServer, open_daemon_bench

# Before that, Python itself ends with a traceback.
STARTED = BRIDGE.replace(
    "; sys.exit",
    "; from kiln_mcp.doors.interrupts import end_at_interrupt; end_at_interrupt(); "
    "print(end='started', flush=True); sys.exit",
)
PRESSES = 16
AT_REST = {"paused", "done", "stopped", "cancelled"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def start_command(bench: Bench) -> Process:
    """Start a command; return when its interpreter runs our program."""
    command = await anyio.open_process(
        [sys.executable, "-c", STARTED, *COMMAND],
        cwd=bench.project,
        env=bench.environment,
        stdin=subprocess.DEVNULL,
    )
    assert command.stdout is not None
    assert await command.stdout.receive() == b"started"
    return command


async def end_of(command: Process) -> str:
    """Wait for a command's end; return what it said on standard error."""
    text = b"".join([part async for part in command.stderr or ()])
    await command.wait()
    return text.decode()


async def jobs_at(bench: Bench) -> dict[str, str]:
    """Return the state of each job."""
    answer = await bench.call("check_job")
    return {str(entry["job"]): str(entry["state"]) for entry in answer["jobs"]}


async def press_after(bench: Bench, delay_s: float) -> str:
    """Press Ctrl-C so long after a command's start; return what it said, if all is as promised."""
    before = await jobs_at(bench)
    async with await start_command(bench) as command:
        await anyio.sleep(delay_s)
        command.send_signal(signal.SIGINT)
        text = await end_of(command)
    assert command.returncode == 130, (delay_s, command.returncode, text)
    assert text.endswith("kiln-mcp: Stopped. Finished work is saved; run the command again to "
                         "continue.\n"), (delay_s, text)  # fmt: skip
    for job in (await jobs_at(bench)).keys() - before.keys():
        assert f"kiln-mcp resume-job --job {job} continues it." in text, (delay_s, text)
        assert (await bench.at_rest(job))["state"] == "paused", (delay_s, text)
    return text


async def test_ctrl_c_at_any_moment_ends_a_command_and_pauses_the_job_that_it_began(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 0.2
    async with open_daemon_bench(tmp_path, counting, items=4000) as bench:
        with anyio.fail_after(280):
            started = anyio.current_time()
            async with await start_command(bench) as command:
                text = ""
                async for part in command.stderr or ():
                    text += part.decode()
                    if "Ctrl-C pauses it" in text:
                        break
                elapsed_s = anyio.current_time() - started
                command.send_signal(signal.SIGINT)
                text += await end_of(command)
            assert command.returncode == 130, text
            for press in range(PRESSES):
                await press_after(bench, 1.2 * elapsed_s * press / PRESSES)
            states = await jobs_at(bench)
    assert set(states.values()) == {"paused"}
    # A command that was interrupted before its job began has begun none.
    assert 1 < len(states) <= PRESSES + 1
