"""The daemon, killed many times while a job runs, as a client of the bridge sees it."""

import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest

from daemon_bench import AT_ONCE, BRIDGE, COMMAND, ROOT, CountingServer, open_daemon_bench, say

DAY_S = 86_400

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class SettableClock(Protocol):
    """The daemon's clock, as conftest.py makes it."""

    environment: dict[str, str]

    def jump(self, seconds: int) -> None: ...


async def test_a_long_job_survives_a_daemon_that_is_killed_again_and_again(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, seed = 800, random.randrange(10**6)
    chance = random.Random(seed)
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()

        async def kill_at_random() -> None:
            for moment in sorted(chance.sample(range(50, items - 100), 6)):
                await counting.until_asked(moment)
                # Not always right after a request has come.
                await anyio.sleep(chance.uniform(0, 0.05))
                await bench.kill_running()

        with anyio.fail_after(240):
            async with anyio.create_task_group() as group:
                group.start_soon(kill_at_random)
                final = await bench.at_rest(job)
                assert final["state"] == "done", (seed, final)
        assert bench.kills == 6
        created, verdicts = await bench.results()
    expected = [say(number) for number in range(items)]
    assert sorted(created) == expected
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == [], seed
    # What was on its way at a kill is not known to have been answered, and is sent again.
    assert set(counting.questions) == set(expected)
    assert len(counting.questions) - items <= AT_ONCE * bench.kills, seed


async def test_a_command_and_a_client_that_want_the_same_at_once_pay_for_it_once(
    tmp_path: Path, counting: CountingServer
) -> None:
    items = 200
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        with anyio.fail_after(240):
            async with await bench.command(*COMMAND, "--json") as command:
                await counting.until_asked(20)
                job = await bench.start()
                answer = b"".join([part async for part in command.stdout or ()])
            assert command.returncode == 0
            assert json.loads(answer)["items"] == items
            assert (await bench.at_rest(job))["state"] == "done"
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert len(counting.questions) == len(set(counting.questions)) == items


async def test_ctrl_c_pauses_what_a_command_began_and_a_killed_command_does_not(
    tmp_path: Path, counting: CountingServer
) -> None:
    items = 1500
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        with anyio.fail_after(240):
            async with await bench.command(*COMMAND) as command:
                sentence = ""
                is_interrupted = False
                async for part in command.stderr or ():
                    sentence += part.decode()
                    if not is_interrupted and "Ctrl-C pauses it" in sentence:
                        is_interrupted = True
                        command.send_signal(signal.SIGINT)
            assert command.returncode == 130, sentence
            [job] = [entry["job"] for entry in (await bench.call("check_job"))["jobs"]]
            assert f"kiln-mcp resume-job --job {job} continues it." in sentence
            assert (await bench.at_rest(job))["state"] == "paused"
            assert len(counting.questions) < items
            requests = len(counting.questions)
            async with await bench.command(*COMMAND) as command:
                await counting.until_asked(requests + 20)
                command.kill()
            [job, _] = [entry["job"] for entry in (await bench.call("check_job"))["jobs"]]
            assert (await bench.at_rest(job))["state"] == "done"
    assert len(counting.questions) == len(set(counting.questions)) == items


@pytest.mark.parametrize(("pause", "state"), [(False, "cancelled"), (True, "paused")])
async def test_a_wish_to_stop_is_kept_when_the_daemon_is_killed_right_after_it(
    tmp_path: Path, counting: CountingServer, pause: bool, state: str
) -> None:
    items = 300
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()
        with anyio.fail_after(240):
            await counting.until_asked(100)
            async with anyio.create_task_group() as group:
                group.start_soon(partial(bench.call_in_vain, "stop_job", job, pause=pause))
                await bench.until(job, {state, "cancelling", "pausing"})
                bench.kill()
            assert (await bench.at_rest(job))["state"] == state
            requests = len(counting.questions)
            assert requests < items
            bench.note()
            await bench.call("resume_job", job=job)
            bench.kill()
            assert (await bench.at_rest(job))["state"] == "done"
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []
    assert len(counting.questions) - items <= AT_ONCE * bench.kills


async def test_a_limit_is_kept_by_all_attempts_of_a_killed_job_together(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, limit = 300, 200
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start(limit_calls=limit)
        with anyio.fail_after(240):
            async with anyio.create_task_group() as group:
                group.start_soon(bench.kill_when_asked, [60, 120])
                report = await bench.at_rest(job)
                assert report["state"] == "stopped"
                assert "200 of 200 calls are made" in report["error"]
            assert bench.kills == 2
            # What was on its way at a kill counts as made: the server saw no more than allowed.
            assert limit - AT_ONCE * bench.kills <= len(counting.questions) <= limit
            created, _ = await bench.results()
            assert len(created) == len(set(created)) <= limit
            bench.note()
            await bench.call("resume_job", job=job, limit_calls=2 * items)
            final = await bench.at_rest(job)
            assert final["state"] == "done", final
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []


async def test_a_clock_that_is_set_changes_nothing_but_the_times_that_are_shown(
    tmp_path: Path, counting: CountingServer, clock: SettableClock
) -> None:
    items = 600
    async with open_daemon_bench(tmp_path, counting, items, **clock.environment) as bench:
        job = await bench.start(limit_seconds=1000)

        async def set_the_clock() -> None:
            for moment, jump in ((100, DAY_S), (200, -DAY_S), (300, 400 * DAY_S), (400, 0)):
                await counting.until_asked(moment)
                clock.jump(jump)
                if moment == 300:
                    bench.kill()

        with anyio.fail_after(240):
            async with anyio.create_task_group() as group:
                group.start_soon(set_the_clock)
                final = await bench.at_rest(job)
                assert final["state"] == "done", final
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []
    assert len(counting.questions) - items <= AT_ONCE


async def test_a_time_limit_is_true_though_the_clock_goes_back(
    tmp_path: Path, counting: CountingServer, clock: SettableClock
) -> None:
    items = 400
    counting.latency_s = 0.5
    async with open_daemon_bench(tmp_path, counting, items, **clock.environment) as bench:
        started = anyio.current_time()
        job = await bench.start(limit_seconds=4)
        with anyio.fail_after(60):
            await counting.until_asked(1)
            clock.jump(-DAY_S)
            report = await bench.at_rest(job)
        took = anyio.current_time() - started
    assert report["state"] == "stopped", report
    assert "the 4 s are over" in report["error"]
    assert 4 <= took < 30  # a day if it were the clock's; a busy machine takes a while to end
    assert len(counting.questions) < items


async def test_a_job_is_stopped_paused_and_killed_again_and_again_and_still_has_every_result_once(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, seed = 1000, random.randrange(10**6)
    chance = random.Random(seed)
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()
        moments = sorted(chance.sample(range(50, items - 150), 6))
        with anyio.fail_after(240):
            for number, moment in enumerate(moments):
                await counting.until_asked(moment)
                await bench.call("stop_job", job=job, pause=number % 2 == 0)
                if chance.random() < 0.5:
                    bench.kill()
                paused_job = await bench.at_rest(job)
                assert paused_job["state"] in {"paused", "cancelled"}, (seed, paused_job)
                bench.note()
                await bench.call("resume_job", job=job)
                if chance.random() < 0.5:
                    bench.kill()
                    await bench.until(job, {"waiting", "running"})  # begins the next daemon
            last = await bench.at_rest(job)
            assert last["state"] == "done", (seed, last)
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == [], seed
    # A pause waits for its answers; a cancelled job and a killed process lose them.
    assert len(counting.questions) - items <= AT_ONCE * (bench.kills + 3), seed


async def test_commands_beside_the_daemon_hand_jobs_in_and_do_none(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 2.0
    async with open_daemon_bench(tmp_path, counting, items=120) as bench:
        environment = {**os.environ, "KILN_MCP_HOME": str(bench.home), "PYTHONPATH": str(ROOT)}

        async def command(*arguments: str) -> Mapping[str, Any]:
            program = [sys.executable, "-c", BRIDGE, *arguments, "--json"]
            final = await anyio.run_process(program, env=environment)
            return json.loads(final.stdout)

        first = await bench.start(limit_calls=5)  # the daemon is at work
        await bench.at_rest(first)
        started = await command(
            "run-eval", "--project", str(bench.project), "--eval", "Right",
            "--limit-calls", "90", "--wait-s", "0",
        )  # fmt: skip
        for _ in range(3):
            await command("check-job", "--job", str(started["job"]), "--seconds", "1")
        final = await bench.at_rest(str(started["job"]))
        assert (final["state"], final["calls"], final.get("lost_calls")) == ("stopped", 90, None)
        assert len(counting.questions) == 95
